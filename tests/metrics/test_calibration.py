import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.metrics.calibration import (
    brier_score,
    confusion_matrix,
    expected_calibration_error,
    negative_log_likelihood,
)


def sure_of(confidence: list[float], is_right: list[bool]) -> tuple[Tensor, Tensor]:
    """Probabilities of two classes whose first is predicted with a confidence, and labels that agree or not."""
    first = torch.tensor(confidence, dtype=torch.float64)
    return torch.stack([first, 1 - first], dim=1).float(), (~torch.tensor(is_right)).long()


def test_confidence_that_is_met_is_no_error() -> None:
    probabilities, labels = sure_of([0.75] * 8, [True] * 6 + [False] * 2)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0, abs=1e-6)


def test_error_is_how_far_accuracy_stays_behind() -> None:
    probabilities, labels = sure_of([0.9] * 10, [True] * 6 + [False] * 4)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.3, abs=1e-6)


def test_bins_count_by_their_images() -> None:
    probabilities, labels = sure_of([0.9] * 10 + [0.6] * 30, [True] * 5 + [False] * 5 + [True] * 30)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.25 * 0.4 + 0.75 * 0.4, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0.5, 1.0), st.booleans()), min_size=1, max_size=50))
def test_error_is_the_definition_computed_naively(samples: list[tuple[float, bool]]) -> None:
    probabilities, labels = sure_of([one for one, _ in samples], [right for _, right in samples])
    confidence, predicted = probabilities.double().max(dim=1)
    right, error = (predicted == labels).double(), 0.0
    places = (confidence * 15).ceil().clamp(1, 15)
    # Those at the border of two bins may fall in either.
    if (confidence * 15 - (confidence * 15).round()).abs().min() < 1e-4:
        return
    for place in places.unique():
        members = places == place
        error += members.double().mean().item() * abs((right[members] - confidence[members]).mean().item())
    assert expected_calibration_error(probabilities, labels) == pytest.approx(error, abs=1e-5)


def some_predictions(images: int = 200, classes: int = 5) -> tuple[Tensor, Tensor]:
    """Logits of random sharpness, and random labels."""
    generator = generator_for("predictions")
    logits = 3 * torch.randn(images, classes, generator=generator)
    return logits, torch.randint(0, classes, (images,), generator=generator)


def test_likelihood_and_brier_score_are_those_of_torch_and_scikit_learn() -> None:
    logits, labels = some_predictions()
    probabilities = logits.softmax(dim=1)
    likelihood = negative_log_likelihood(probabilities, labels)
    assert likelihood == pytest.approx(F.cross_entropy(logits.double(), labels).item(), rel=1e-5)
    assert likelihood == pytest.approx(log_loss(labels, probabilities.numpy(), labels=range(5)), rel=1e-5)
    one_by_one = [brier_score_loss(labels == label, probabilities[:, label].numpy()) for label in range(5)]
    assert brier_score(probabilities, labels) == pytest.approx(sum(one_by_one), rel=1e-5)


def test_likelihood_and_brier_score_by_hand() -> None:
    probabilities, labels = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.25, 0.75]]), torch.tensor([0, 1])
    assert negative_log_likelihood(probabilities, labels) == pytest.approx(1.5 * math.log(2))
    assert brier_score(probabilities, labels) == pytest.approx((0.25 + 2 * 0.0625 + 2 * 0.5625) / 2)


def test_a_sure_classifier_scores_best_if_right_and_a_finite_worst_if_wrong() -> None:
    right, labels = torch.eye(3), torch.arange(3)
    assert (negative_log_likelihood(right, labels), brier_score(right, labels)) == (0, 0)
    wrong = right.roll(1, dims=0)
    assert negative_log_likelihood(wrong, labels) == pytest.approx(23 * math.log(2))
    assert brier_score(wrong, labels) == 2


@pytest.mark.parametrize("score", [negative_log_likelihood, brier_score])
def test_no_answer_scores_better_than_the_true_probabilities(score) -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    honest = torch.tensor([0.6, 0.3, 0.1])
    best = score(honest.expand(10, 3), labels)
    generator = generator_for("answers")
    for size in (0.01, 0.1, 1.0):
        other = (honest.log() + size * torch.randn(3, generator=generator)).softmax(dim=0)
        assert score(other.expand(10, 3), labels) > best


@pytest.mark.parametrize("score", [expected_calibration_error, negative_log_likelihood, brier_score])
def test_nothing_to_measure_is_refused(score) -> None:
    with pytest.raises(InputError, match="at least one image"):
        score(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))


def test_confusions_are_counted_by_true_and_predicted_class() -> None:
    labels, predicted = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 1, 1, 2, 0, 0])
    assert confusion_matrix(predicted, labels, 4) == ((1, 1, 0, 0), (0, 1, 0, 0), (2, 0, 1, 0), (0, 0, 0, 0))
