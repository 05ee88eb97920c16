"""Sets drawn by a compiled network."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthaug.core import runtime
from synthaug.core.errors import InputError
from synthaug.shards.manifest import Manifest
from synthaug.workflows.synthesize import GenerateConfig, generate, plan_generation
from synthaug.workflows.verify import VerifyConfig, verify
from tests.workflows.sets import MakeConfig, hashes_of, largest_difference, pixels_of


def test_compiled_network_draws_the_same_images_but_for_rounding_and_the_set_says_so(make_config: MakeConfig) -> None:
    plain, compiled = make_config("plain"), make_config("compiled", compile=True)
    generate(plain)
    generate(compiled)
    assert [Manifest.read(config.out).plan.compiled for config in (plain, compiled)] == [False, True]
    assert largest_difference(pixels_of(plain.out), pixels_of(compiled.out)) <= 2
    with pytest.raises(InputError, match=r"\bcompiled is True there and False now"):
        plan_generation(make_config("compiled"))
    # What is lost is drawn by the same code again, also by a repair.
    before = hashes_of(compiled.out)
    (Path(compiled.out) / "train-000001.tar").unlink()
    assert verify(VerifyConfig(folder=compiled.out, repair=True, device="cpu")).repaired == ("train-000001.tar",)
    assert hashes_of(compiled.out) == before
    assert GenerateConfig.resolve({}, Path(compiled.out) / "config.yaml").compile


def test_without_a_compiler_it_is_refused_before_anything_is_written(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.shutil, "which", lambda _: None)
    for refuse in (plan_generation, generate):
        with pytest.raises(InputError, match=r"--compile needs a C\+\+ compiler"):
            refuse(make_config(compile=True))
    assert not Path(make_config().out).exists()
