"""Backends by name, also those of other packages."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from synthaug.core.errors import InputError
from synthaug.generators.base import ENTRY_POINTS, Backend, TrainPlan, backend_names, load_backend

Publish = Callable[..., None]


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """`publish(name, value, **attributes)`: pretends that an installed package `elsewhere` has this entry point."""

    def pretend(name: str, value: str, **attributes: object) -> None:
        module = ModuleType("elsewhere")
        for attribute, content in attributes.items():
            setattr(module, attribute, content)
        monkeypatch.setitem(sys.modules, "elsewhere", module)
        point = importlib.metadata.EntryPoint(name, value, ENTRY_POINTS)
        monkeypatch.setattr(
            importlib.metadata, "entry_points", lambda *, group: [point] if group == ENTRY_POINTS else []
        )

    return pretend


def test_built_in_backend_is_found_by_name() -> None:
    assert isinstance(load_backend("ddpm"), Backend)
    assert "digits" in load_backend("ddpm").presets


def test_unknown_backend_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown model 'vae'; known: .*\bddpm\b"):
        load_backend("vae")


def test_backend_of_another_package_is_found_beside_the_built_in_one(publish: Publish) -> None:
    foreign = load_backend("ddpm")
    publish("foreign", "elsewhere:MINE", MINE=foreign)
    assert {"ddpm", "foreign"} <= set(backend_names())
    assert load_backend("foreign") is foreign


def test_another_package_cannot_take_the_place_of_a_built_in_backend(publish: Publish) -> None:
    own = load_backend("ddpm")
    publish("ddpm", "elsewhere:MINE", MINE=object())
    assert load_backend("ddpm") is own
    assert backend_names().count("ddpm") == 1


def test_entry_point_to_something_else_is_refused(publish: Publish) -> None:
    publish("foreign", "elsewhere:MINE", MINE=object())
    with pytest.raises(InputError, match=r"'foreign' \(elsewhere:MINE\) does not provide a generator backend"):
        load_backend("foreign")


@pytest.mark.parametrize("value", ["elsewhere:GONE", "not_installed_at_all:MINE"])
def test_entry_point_that_leads_nowhere_is_refused(publish: Publish, value: str) -> None:
    publish("foreign", value)
    with pytest.raises(InputError, match=rf"'foreign' \({value}\) cannot be loaded"):
        load_backend("foreign")


@pytest.mark.parametrize(("images", "batch_size", "steps"), [(64, 8, 8), (65, 8, 9), (1, 8, 1)])
def test_planned_steps_show_at_least_the_planned_images(images: int, batch_size: int, steps: int) -> None:
    assert TrainPlan("any", 1, images, batch_size, 0.1, {}).steps == steps
