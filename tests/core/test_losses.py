import torch
import torch.nn.functional as F

from synthaug.core.losses import weighted_cross_entropy


def one_hot(labels: list[int]) -> torch.Tensor:
    return F.one_hot(torch.tensor(labels), 3).float()


def test_hard_targets_of_equal_weight_give_the_usual_cross_entropy() -> None:
    logits = torch.randn(5, 3)
    for smoothing in (0.0, 0.1):
        found = weighted_cross_entropy(logits, one_hot([0, 2, 1, 1, 0]), torch.ones(5), label_smoothing=smoothing)
        expected = F.cross_entropy(logits, torch.tensor([0, 2, 1, 1, 0]), label_smoothing=smoothing)
        torch.testing.assert_close(found, expected)


def test_an_image_of_weight_two_counts_like_two_images() -> None:
    logits = torch.randn(2, 3)
    found = weighted_cross_entropy(logits, one_hot([1, 2]), torch.tensor([2.0, 1.0]))
    twice = F.cross_entropy(logits[[0, 0, 1]], torch.tensor([1, 1, 2]))
    torch.testing.assert_close(found, twice)


def test_images_of_weight_zero_do_not_count_and_a_batch_of_them_has_no_loss() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    found = weighted_cross_entropy(logits, one_hot([1, 2]), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(found, F.cross_entropy(logits[1:], torch.tensor([2])))
    nothing = weighted_cross_entropy(logits, one_hot([1, 2]), torch.zeros(2))
    nothing.backward()
    assert nothing == 0
    assert logits.grad is not None
    assert not logits.grad.any()
