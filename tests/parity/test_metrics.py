"""Our figures are those of torch-fidelity and torchmetrics for the same features."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from synthaug.core.seeding import generator_for
from synthaug.metrics.frechet import frechet_distance
from synthaug.metrics.inception_score import inception_score
from synthaug.metrics.kernel import kernel_distance
from synthaug.metrics.prdc import prdc

COUNT, DIMENSIONS = 300, 16
# torchmetrics warns that it keeps all features, and that one split has no standard deviation.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Metric `.*` will save all extracted features:UserWarning"),
    pytest.mark.filterwarnings("ignore:std\\(\\). degrees of freedom:UserWarning"),
]


class Unchanged(nn.Identity):
    """A "network" whose features are what it is given."""

    num_features = DIMENSIONS


def features(kind: torch.dtype, *, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Real and generated ones, positive and correlated as those of a network are."""
    real, generated = (
        torch.randn(COUNT, DIMENSIONS, generator=generator_for(name), dtype=torch.float64)
        for name in ("real", "generated")
    )
    mixing = torch.randn(DIMENSIONS, DIMENSIONS, generator=generator_for("mixing"), dtype=torch.float64)
    return (real @ mixing).relu().to(kind), (spread * generated @ mixing + 0.5).relu().to(kind)


every_precision = pytest.mark.parametrize(
    ("kind", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-4)], ids=["float64", "float32"]
)


@every_precision
def test_frechet_distance_is_torch_fidelitys(kind: torch.dtype, tolerance: float) -> None:
    real, generated = features(kind)
    statistics = [fid_features_to_statistics(one) for one in (generated, real)]
    other = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(real, generated) == pytest.approx(other, rel=tolerance)


@every_precision
def test_frechet_distance_is_torchmetrics(kind: torch.dtype, tolerance: float) -> None:
    real, generated = features(kind)
    metric = FrechetInceptionDistance(feature=Unchanged())
    metric.update(real, real=True)
    metric.update(generated, real=False)
    assert frechet_distance(real, generated) == pytest.approx(metric.compute().item(), rel=tolerance)


def test_kernel_distance_is_torch_fidelitys() -> None:
    real, generated = features(torch.float64)
    other = kid_features_to_metric(generated, real, kid_subsets=1, kid_subset_size=COUNT, verbose=False)
    assert kernel_distance(real, generated).value == pytest.approx(other["kernel_inception_distance_mean"], rel=1e-9)


def test_kernel_distance_is_torchmetrics() -> None:
    real, generated = features(torch.float64)
    metric = KernelInceptionDistance(feature=Unchanged(), subsets=1, subset_size=COUNT)
    metric.update(real, real=True)
    metric.update(generated, real=False)
    assert kernel_distance(real, generated).value == pytest.approx(metric.compute()[0].item(), rel=1e-9)


@pytest.mark.parametrize("spread", [0.6, 1.0, 1.7])
def test_precision_and_recall_are_torch_fidelitys(spread: float) -> None:
    real, generated = features(torch.float64, spread=spread)
    other = prc_features_to_metric(generated, real, prc_neighborhood=3, verbose=False)
    found = prdc(real, generated, neighbours=3)
    assert 0.05 < min(found.precision, found.recall) < 0.95
    assert found.precision == pytest.approx(other["precision"], rel=1e-6)
    assert found.recall == pytest.approx(other["recall"], rel=1e-6)


def test_inception_score_is_that_of_both_without_splits() -> None:
    logits = 3 * torch.randn(COUNT, 10, generator=generator_for("logits"), dtype=torch.float64)
    found = inception_score(logits.softmax(dim=1)).value
    other = isc_features_to_metric(logits, splits=1)["inception_score_mean"]
    assert found == pytest.approx(other, rel=1e-9)
    metric = InceptionScore(feature=nn.Identity(), splits=1)
    metric.update(logits)
    assert found == pytest.approx(metric.compute()[0].item(), rel=1e-9)
