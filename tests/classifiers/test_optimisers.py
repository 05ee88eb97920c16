from dataclasses import replace

import pytest
import torch
from torch import nn

from synthaug.classifiers.muon import Muon, orthogonalised
from synthaug.classifiers.optimisers import make_optimiser, make_schedule, swa_start
from synthaug.classifiers.recipes import Recipe

RECIPE = Recipe("test", "resnet20", batch_size=4, optimiser="sgd", learning_rate=0.4, weight_decay=0.01)


def trace(recipe: Recipe, steps: int = 40, key: str = "lr") -> list[float]:
    """What one number of the optimiser is at each step."""
    optimiser = make_optimiser(nn.Linear(2, 2), recipe)
    schedule = make_schedule(optimiser, recipe, steps)
    values = []
    for _ in range(steps):
        group = optimiser.param_groups[0]
        values.append(group["betas"][0] if key == "momentum" and "betas" in group else group[key])
        optimiser.step()
        schedule.step()
    return values


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("muon", Muon)],
)
def test_optimisers_are_the_ones_named(name: str, kind: type) -> None:
    optimiser = make_optimiser(nn.Linear(2, 2), replace(RECIPE, optimiser=name, learning_rate=0.3))
    assert type(optimiser) is kind
    [group] = optimiser.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.01)
    assert group.get("nesterov", True)


def test_one_cycle_rises_to_its_peak_and_falls_below_its_start() -> None:
    rates = trace(RECIPE)
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.4, rel=0.01)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < rates[0]


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw"])
def test_momentum_goes_down_while_the_rate_goes_up(optimiser: str) -> None:
    recipe = replace(RECIPE, optimiser=optimiser)
    rates, momenta = trace(recipe, 10), trace(recipe, 10, "momentum")
    assert momenta[0] == pytest.approx(0.95)
    assert min(momenta) == pytest.approx(0.85, abs=0.01)
    assert momenta.index(min(momenta)) == rates.index(max(rates))


def test_other_schedules_do_what_they_are_called() -> None:
    assert set(trace(replace(RECIPE, schedule="constant"))) == {0.4}
    assert trace(replace(RECIPE, schedule="step")) == pytest.approx([0.4] * 20 + [0.04] * 10 + [0.004] * 10)
    assert trace(replace(RECIPE, schedule="linear")) == pytest.approx([0.4 * (1 - step / 40) for step in range(40)])
    cosine = trace(replace(RECIPE, schedule="cosine"))
    assert (cosine[0], cosine[20]) == (0.4, pytest.approx(0.2))
    assert cosine == sorted(cosine, reverse=True)
    assert cosine[-1] < 0.001


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "linear", "step", "constant"])
@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw", "muon"])
def test_averaging_holds_the_rate_in_the_last_quarter(schedule: str, optimiser: str) -> None:
    plain = replace(RECIPE, schedule=schedule, optimiser=optimiser)
    before, averaged = trace(plain), trace(replace(plain, swa=0.03))
    assert averaged[: swa_start(40)] == before[: swa_start(40)]
    assert averaged[33:] == pytest.approx([0.03] * 7)


def test_averaging_of_one_step_is_no_averaging() -> None:
    assert trace(replace(RECIPE, swa=0.03, schedule="constant"), 1) == [0.4]


# --- Muon ---


def test_orthogonal_matrices_keep_the_singular_vectors_and_lose_the_values() -> None:
    for shape in ((5, 12), (12, 5), (7, 7)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        values = (left.T @ orthogonalised(matrix) @ right.T).diagonal()
        assert values.min() > 0.4
        assert values.max() < 1.3
        inner = left.T @ orthogonalised(matrix) @ right.T
        assert (inner - values.diag()).abs().max() < 1e-3


def test_muon_moves_matrices_as_torch_does() -> None:
    torch.default_generator.manual_seed(0)
    start = torch.randn(24, 60)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    first = Muon([ours], lr=0.02, weight_decay=0.1)
    second = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="original")
    for _ in range(5):
        ours.grad = torch.randn(24, 60)
        theirs.grad = ours.grad.clone()
        first.step()
        second.step()
    # torch's orthogonal matrices have the three digits of bfloat16.
    assert (ours - theirs).abs().max() < 0.02 * (ours - start).abs().max()


def test_muon_moves_kernels_as_their_matrices() -> None:
    torch.default_generator.manual_seed(0)
    kernel = nn.Parameter(torch.randn(8, 3, 3, 3).to(memory_format=torch.channels_last))
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    both = [Muon([kernel], lr=0.1), Muon([matrix], lr=0.1)]
    for _ in range(3):
        kernel.grad = torch.randn(8, 3, 3, 3).to(memory_format=torch.channels_last)
        matrix.grad = kernel.grad.flatten(1).clone()
        for optimiser in both:
            optimiser.step()
    torch.testing.assert_close(kernel.flatten(1), matrix)


def test_muon_moves_vectors_as_adam_does() -> None:
    ours, theirs = nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(5))
    first = Muon([ours], lr=0.03, weight_decay=0.5, adam_rate=0.5)
    second = torch.optim.Adam([theirs], lr=0.015, betas=(0.9, 0.95))
    for step in range(5):
        ours.grad = torch.randn(5, generator=torch.Generator().manual_seed(step))
        theirs.grad = ours.grad.clone()
        first.step()
        second.step()
    torch.testing.assert_close(ours, theirs)


def test_the_last_layer_goes_by_adam_whatever_its_shape() -> None:
    network = nn.Module()
    network.hidden, network.head = nn.Linear(6, 6, bias=False), nn.Linear(6, 3, bias=False)
    optimiser = make_optimiser(network, replace(RECIPE, optimiser="muon", learning_rate=0.6, weight_decay=0.0))
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    for weight in network.parameters():
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    optimiser.step()
    moved = {name: weight.detach() - before[name] for name, weight in network.named_parameters()}
    torch.testing.assert_close(moved["head.weight"].abs(), torch.full((3, 6), 0.1), rtol=1e-4, atol=0.0)
    assert moved["hidden.weight"].abs().std() > 0.01


def test_weights_without_a_gradient_stay_as_they_are() -> None:
    frozen, learning = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3, 3))
    learning.grad = torch.eye(3)
    for name in ("sgd", "adam", "adamw", "muon"):
        network = nn.Module()
        network.a, network.b = frozen, learning
        make_optimiser(network, replace(RECIPE, optimiser=name)).step()
        assert torch.equal(frozen, torch.ones(3, 3)), name
    assert not torch.equal(learning, torch.ones(3, 3))
