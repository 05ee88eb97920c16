import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.metrics.calibration import confusion_matrix, expected_calibration_error


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


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(InputError, match="at least one image"):
        expected_calibration_error(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))


def test_confusions_are_counted_by_true_and_predicted_class() -> None:
    labels, predicted = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 1, 1, 2, 0, 0])
    assert confusion_matrix(predicted, labels, 4) == ((1, 1, 0, 0), (0, 1, 0, 0), (2, 0, 1, 0), (0, 0, 0, 0))
