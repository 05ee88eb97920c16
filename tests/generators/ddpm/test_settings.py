"""What a training request comes to, and which requests are refused before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

from synthaug.core.errors import InputError
from synthaug.generators.ddpm.backend import BACKEND
from synthaug.generators.ddpm.network import PRESETS
from synthaug.generators.ddpm.settings import default_preset, resolve
from tests.conftest import MakeImages
from tests.generators.ddpm.conftest import MakeRequest


def test_plan_takes_from_the_preset_what_the_request_leaves_open(make_request: MakeRequest) -> None:
    preset = PRESETS.get("digits")
    plan = BACKEND.plan(make_request(budget=None, batch_size=None))
    assert (plan.images, plan.batch_size, plan.learning_rate) == (
        preset.images,
        preset.batch_size,
        preset.learning_rate,
    )
    assert plan.options == {"objective": "epsilon", "schedule": "cosine"}


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"budget": 77}, "images", 77),
        ({"batch_size": 3}, "batch_size", 3),
        ({"learning_rate": 0.5}, "learning_rate", 0.5),
        ({"dropout": 0.4}, "dropout", 0.4),
        ({"dropout": 0.0}, "dropout", 0.0),
        ({"ema_half_life": 0.2}, "ema_half_life", 0.2),
    ],
)
def test_numbers_of_the_request_replace_those_of_the_preset(
    make_request: MakeRequest, change: dict[str, Any], field: str, value: float
) -> None:
    request = make_request(**{"preset": "base", "budget": None, "batch_size": None, **change})
    choices = resolve(request)
    assert getattr(choices.preset, field) == value != getattr(PRESETS.get("base"), field)
    assert choices.settings(request)[field] == value


@pytest.mark.parametrize(("size", "preset"), [(8, "digits"), (16, "digits"), (20, "cpu"), (32, "cpu"), (64, "cpu")])
def test_default_preset_suits_the_image_size(
    make_request: MakeRequest, make_images: MakeImages, size: int, preset: str
) -> None:
    assert default_preset(size) == preset
    assert BACKEND.plan(make_request(preset=None, images=make_images(size=size))).preset == preset


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"objective": "v"}, {"objective": "v", "schedule": "cosine"}),
        ({"schedule": "linear"}, {"objective": "epsilon", "schedule": "linear"}),
        (
            {"objective": "v", "schedule": "linear", "min_snr": 5.0},
            {"objective": "v", "schedule": "linear", "min_snr": 5.0},
        ),
        ({"objective": "edm"}, {"objective": "edm"}),
    ],
)
def test_options_are_resolved(
    make_request: MakeRequest, options: dict[str, str | float], expected: dict[str, str | float]
) -> None:
    assert BACKEND.plan(make_request(options=options)).options == expected


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"budget": 0}, "--images must be at least 1, found 0"),
        ({"budget": -1}, "--images must be at least 1, found -1"),
        ({"batch_size": 0}, "--batch-size must be at least 1, found 0"),
        ({"grid_every": 0}, "--grid-every must be at least 1, found 0"),
        ({"monitor_every": 0}, "--watch-every must be at least 1, found 0"),
        ({"learning_rate": 0.0}, "--learning-rate must be positive, found 0.0"),
        ({"learning_rate": -1e-3}, "--learning-rate must be positive"),
        ({"learning_rate": float("nan")}, "--learning-rate must be positive, found nan"),
        ({"learning_rate": float("inf")}, "--learning-rate must be positive, found inf"),
        ({"ema_half_life": 0.0}, "--ema-half-life must be positive, found 0.0"),
        ({"ema_half_life": float("nan")}, "--ema-half-life must be positive, found nan"),
        ({"label_dropout": 1.0}, r"--label-dropout must lie in \[0, 1\), found 1.0"),
        ({"label_dropout": -0.1}, "--label-dropout must lie in"),
        ({"dropout": 1.0}, r"--dropout must lie in \[0, 1\), found 1.0"),
        ({"preset": "huge"}, "unknown DDPM preset 'huge'; known: base, cpu, digits, large, small"),
        (
            {"options": {"temperature": 1.0}},
            "--temperature is not for ddpm, leave it out; its own choices are --objective ",
        ),
        ({"options": {"objective": "x0"}}, "unknown objective or schedule: x0, cosine"),
        ({"options": {"schedule": "sigmoid"}}, "unknown objective or schedule: epsilon, sigmoid"),
        ({"options": {"objective": "edm", "min_snr": 5.0}}, "--min-snr weighs epsilon and v"),
        ({"options": {"objective": "edm", "schedule": "linear"}}, "--schedule belongs to epsilon and v"),
        ({"options": {"min_snr": 0.0}}, "--min-snr must be positive, found 0.0"),
    ],
)
def test_impossible_request_is_refused_before_anything_is_written(
    make_request: MakeRequest, change: dict[str, Any], complaint: str
) -> None:
    request = make_request(**change)
    for refuse in (BACKEND.plan, BACKEND.train):
        with pytest.raises(InputError, match=complaint):
            refuse(request)
    assert not request.out.exists()


@pytest.mark.parametrize("package", ["tensorboard", "wandb"])
def test_logger_that_is_not_installed_is_refused_with_how_to_install_it(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"--logger {package} needs a package; .*pip install 'synthaug\[{package}\]'"):
        BACKEND.plan(make_request(logger=package))
