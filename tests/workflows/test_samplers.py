"""Samplers and guidance: all of them draw sets, and each setting changes the images."""

from __future__ import annotations

import itertools

import pytest

from synthaug.core.errors import InputError
from synthaug.generators.ddpm.solvers import SOLVERS
from synthaug.shards.manifest import Manifest
from synthaug.shards.verify import verify_set
from synthaug.workflows.synthesize import generate, plan_generation
from tests.workflows.sets import MakeConfig, largest_difference, pixels_of


def test_guidance_changes_the_images(make_config: MakeConfig) -> None:
    plain, guided = make_config("plain"), make_config("guided", guidance=8.0)
    generate(plain)
    generate(guided)
    assert largest_difference(pixels_of(plain.out), pixels_of(guided.out)) > 1


def test_guidance_may_be_confined_to_an_interval_of_noise_levels(make_config: MakeConfig) -> None:
    guided = {"guidance": 8.0, "steps": 4}
    choices: dict[str, dict[str, object]] = {
        "plain": {"steps": 4},
        "everywhere": guided,
        "all levels": {**guided, "guidance_interval": "0,1000"},
        "no level": {**guided, "guidance_interval": "500,1000"},
        "some levels": {**guided, "guidance_interval": "0.1,2"},
    }
    sets = {name: generate(make_config(name, **choice)).out for name, choice in choices.items()}
    assert {name: Manifest.read(out).plan.guidance_interval for name, out in sets.items()} == {
        "plain": None,
        "everywhere": None,
        "all levels": (0.0, 1000.0),
        "no level": (500.0, 1000.0),
        "some levels": (0.1, 2.0),
    }
    pixels = {name: pixels_of(out) for name, out in sets.items()}
    assert largest_difference(pixels["all levels"], pixels["everywhere"]) == 0
    assert largest_difference(pixels["no level"], pixels["plain"]) == 0
    assert largest_difference(pixels["some levels"], pixels["plain"]) > 1
    assert largest_difference(pixels["some levels"], pixels["everywhere"]) > 1


@pytest.mark.parametrize("interval", ["5,0.3", "1,1", "-1,5", "0,inf", "nan,1"])
def test_interval_without_anything_between_is_refused(make_config: MakeConfig, interval: str) -> None:
    with pytest.raises(InputError, match="--guidance-interval needs two noise levels, 0 <= LOW < HIGH, found "):
        plan_generation(make_config(guidance_interval=interval))


@pytest.mark.parametrize("sampler", SOLVERS.names())
def test_every_sampler_draws_a_set_whatever_the_batch_size(make_config: MakeConfig, sampler: str) -> None:
    changes = {"per_class": 2, "sampler": sampler, "steps": 6}
    small, large = make_config("small", batch_size=3, **changes), make_config("large", batch_size=8, **changes)
    generate(small)
    generate(large)
    assert verify_set(small.out, deep=True).samples == 20
    assert Manifest.read(small.out).plan.sampler == sampler
    pixels = pixels_of(small.out)
    assert len({image.numpy().tobytes() for image in pixels.values()}) == 20
    # Also where a sampler draws noise on the way, it is each sample's own. Batches round differently, but no more.
    assert largest_difference(pixels, pixels_of(large.out)) <= 1


def test_samplers_differ(make_config: MakeConfig) -> None:
    configs = [make_config(name, sampler=name, steps=6, per_class=1) for name in SOLVERS.names()]
    for config in configs:
        generate(config)
    sets = [pixels_of(config.out) for config in configs]
    assert all(largest_difference(one, two) > 1 for one, two in itertools.combinations(sets, 2))
