"""The stages of a study of two generators, over one folder."""

from __future__ import annotations

import shutil
import time
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

from evaluate_packaged import figures_of
from harness import copy_report, study_figures, study_runs, write_result
from staged import Ledger, Stage

from synthaug.core.durations import duration
from synthaug.core.errors import TrainingError
from synthaug.core.runtime import Runtime
from synthaug.data.sources import load_source
from synthaug.data.splits import make_splits
from synthaug.generators.checkpoint import CARD_NAME, read_card
from synthaug.generators.packaging import pack_checkpoint
from synthaug.shards.finish import PREVIEW_NAME
from synthaug.shards.manifest import MANIFEST_NAME
from synthaug.workflows.bench import BenchConfig, read_summary
from synthaug.workflows.bench.summary import SUMMARY_NAME
from synthaug.workflows.checkpoints import find_checkpoint, packaged_checkpoints
from synthaug.workflows.curate import CurateConfig, curate
from synthaug.workflows.evaluate import EvaluateConfig, evaluate
from synthaug.workflows.report import bench_and_report
from synthaug.workflows.run.measuring import measure_generator
from synthaug.workflows.synthesize import GenerateConfig, generate
from synthaug.workflows.train import TrainConfig, train

MODELS = ("ddpm", "acgan")
#: What each stage may take of the whole time; a stage that needs less leaves the rest to those after it.
SHARES = {
    "ddpm": 0.38,
    "acgan": 0.12,
    "sample": 0.08,
    "evaluate": 0.06,
    "curate": 0.04,
    "bench": 0.16,
    "fractions": 0.16,
}
#: Of the time to train a generator, what looking at its samples leaves for it.
_TRAINING = 0.9
#: Seconds before a training on a GPU begins to count, for the judge that watches it.
_PREPARATION = 30.0


class Study:
    """The stages over one folder.

    Args:
        options: The settings.
        ledger: What is done.
    """

    def __init__(self, options: Namespace, ledger: Ledger) -> None:
        self.options = options
        self.ledger = ledger
        self.root: Path = options.state

    def stages(self) -> list[Stage]:
        """All of them in order."""
        bounded = {
            "ddpm": partial(self.trained, "ddpm"),
            "acgan": partial(self.trained, "acgan"),
            "bench": self.benched,
            "fractions": self.benched_in_parts,
        }
        whole = {"sample": self.sampled, "evaluate": self.evaluated, "curate": self.curated}
        return [
            Stage(name, share, bounded.get(name) or whole[name], is_whole=name in whole)
            for name, share in SHARES.items()
        ]

    def real_images(self) -> dict[str, Any]:
        """What says which real images are in use."""
        return {"data": self.options.data, "per_class_real": self.options.per_class_real}

    def checkpoint(self, model: str) -> Path | None:
        """The generator of a kind; None while there is none."""
        named, own = self.ledger.notes.get(f"{model}_checkpoint"), self.root / model
        return Path(named) if named else own if (own / CARD_NAME).is_file() else None

    def trained(self, model: str, seconds: float) -> bool:
        """Trains a generator, unless a trained one was given."""
        asked, notes, began = getattr(self.options, model), self.ledger.notes, time.monotonic()
        if is_trained(asked):
            notes[f"{model}_checkpoint"] = str(find_checkpoint(asked).folder)
            return True
        images = getattr(self.options, f"{model}_images") or notes.get(f"{model}_images")
        if images is None:
            images = notes[f"{model}_images"] = self.images_that_fit(model, asked)
            self.ledger.save()
        left = seconds - (time.monotonic() - began) - (_PREPARATION if Runtime.resolve().device == "cuda" else 0.0)
        config = {
            **self.real_images(),
            "model": model,
            "preset": asked,
            "images": images,
            "max_time": max(1.0, left),
            "resume": "auto",
            "out": self.root / model,
        }
        try:
            return train(TrainConfig.resolve(config)).is_complete
        except TrainingError as error:  # it went wrong, and the best weights until then were kept
            if not (self.root / model / CARD_NAME).is_file():
                raise
            notes[f"{model}_ended"] = str(error)
            return True

    def images_that_fit(self, model: str, preset: str) -> int:
        """Images that can be shown within the share of the time, from a short trial.

        Too few on a GPU, where a long training is compiled and the trial is not; later stages have what is left.
        """
        splits = make_splits(load_source(self.options.data), per_class_real=self.options.per_class_real)
        share = SHARES[model] * self.options.total
        speed = measure_generator(splits, model, preset, None, Runtime.resolve(), seconds=min(20.0, share / 20))
        return max(1000, round(_TRAINING * share * speed.training))

    def sets(self) -> dict[str, Path]:
        """The sets that are finished, raw ones first."""
        folders = {name: self.root / f"set-{name}" for name in (*MODELS, *(f"{model}-curated" for model in MODELS))}
        return {name: folder for name, folder in folders.items() if (folder / MANIFEST_NAME).is_file()}

    def sampled(self, seconds: float) -> bool:
        """Draws a set from each generator, shard after shard; one that is finished already is taken as it is."""
        ends = time.monotonic() + seconds
        for model in (model for model in MODELS if model not in self.sets()):
            config: dict[str, Any] = {
                "model": str(self.checkpoint(model)),
                "per_class": self.options.per_class,
                "guidance": self.options.guidance if model == "ddpm" else None,
                "out": str(self.root / f"set-{model}"),
            }
            if generate(GenerateConfig.resolve(config), may_begin=lambda: time.monotonic() < ends).missing_shards:
                return False
        return True

    def judging(self) -> dict[str, Any]:
        """What sets are judged by."""
        real = {"reference": self.options.data, "per_class_real": self.options.per_class_real}
        return {**real, "judge_steps": self.options.judge_steps}

    def evaluated(self, seconds: float) -> bool:
        """Says what is in the sets, one after another."""
        ends, found = time.monotonic() + seconds, self.ledger.notes.setdefault("evaluation", {})
        for model in (model for model in MODELS if model not in found):
            if time.monotonic() >= ends:
                return False
            config = {
                **self.judging(),
                "folders": [str(self.root / f"set-{model}")],
                "features": self.options.features,
                "steps": self.options.cas_steps,
                "out": self.root / f"evaluation-{model}",
            }
            result = evaluate(EvaluateConfig.resolve(config))
            [report] = result.sets
            found[model] = figures_of(result, report)
            self.ledger.save()
        return True

    def curated(self, seconds: float) -> bool:
        """Makes a curated set of each that is wanted so."""
        ends = time.monotonic() + seconds
        for model in self.options.curate:
            folder, out = self.root / f"set-{model}", self.root / f"set-{model}-curated"
            if (out / MANIFEST_NAME).is_file():
                continue
            if time.monotonic() >= ends:
                return False
            curate(CurateConfig.resolve({**self.judging(), "folder": str(folder), "out": str(out)}))
        return True

    def classifiers(self, seconds: float) -> dict[str, Any]:
        """How all classifiers are trained."""
        names = ("recipe", "network", "steps", "seeds")
        more = dict(setting.split("=", 1) for setting in self.options.set)
        return {**{name: getattr(self.options, name) for name in names}, **more, "max_time": seconds}

    def benched(self, seconds: float) -> bool:
        """What all sets are worth beside all real images."""
        config = {
            **self.real_images(),
            **self.classifiers(seconds),
            "synthetic": [str(folder) for folder in self.sets().values()],
            "arms": ("real", "real+classic", "mixed+classic", "mixed-together+classic"),
            "synthetic_fractions": self.options.synthetic_fractions or (),
            "out": self.root / "bench",
        }
        return bench_and_report(BenchConfig.resolve(config)).summary.is_complete

    def benched_in_parts(self, seconds: float) -> bool:
        """What generators of a part of the real images are worth beside that part."""
        if not self.options.fractions:
            return True
        config = {
            **self.classifiers(seconds),
            "data": self.options.data,
            "fractions": self.options.fractions,
            "generator_per_fraction": self.options.fraction_generators,
            "generator_images": self.options.fraction_images,
            "per_class": self.options.fraction_per_class,
            "arms": ("real", "real+classic", "mixed+classic"),
            "out": self.root / "fractions",
        }
        try:
            return bench_and_report(BenchConfig.resolve(config)).summary.is_complete
        except TrainingError as error:  # there was no time for all generators, or one went wrong
            self.ledger.notes["fractions_stopped"] = str(error)
            return False

    def bring_home(self) -> str:
        """Fills the folder that is to be taken home, and says in one line how far the study is."""
        out: Path = self.options.out
        figures: dict[str, float] = {f"{name}_seconds": seconds for name, seconds in self.ledger.seconds.items()}
        runs: dict[str, Any] = {"done": self.ledger.done}
        for model in MODELS:
            if (folder := self.checkpoint(model)) is None:
                continue
            training = read_card(folder).training
            figures |= {f"{model}_images_seen": training.images_seen, f"{model}_loss": round(training.loss, 4)}
            pictures = [self.root / f"set-{model}" / PREVIEW_NAME, *sorted((folder / "grids").glob("*.png"))[-1:]]
            for picture in [path for path in pictures if path.is_file()][:1]:
                out.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(picture, out / f"{model}.png")
        for name in ("bench", "fractions"):
            if (folder := self.root / name) and (folder / SUMMARY_NAME).is_file():
                prefix = "" if name == "bench" else "fractions_"
                figures |= {f"{prefix}{key}": value for key, value in study_figures(folder).items()}
                runs[name] = study_runs(read_summary(folder))
                copy_report(folder, out / "reports" / name)
        for model, found in self.ledger.notes.get("evaluation", {}).items():
            figures |= {f"{model}_evaluation_{name}": value for name, value in found.items()}
        write_result("headline", self.method(), figures, runs, folder=out)
        self.bring_generators()
        spent, total = sum(self.ledger.seconds.values()), self.options.total
        stages = ", ".join(f"{name} {'done' if name in self.ledger.done else 'to do'}" for name in SHARES)
        return f"slice {self.ledger.slices}: {duration(spent)} of {duration(total)}; {stages}"

    def bring_generators(self) -> None:
        """Copies the generators, in bfloat16 and in files that are not too large, unless they came from there."""
        for model in MODELS:
            folder, target = self.checkpoint(model), self.options.out / model
            if folder is not None and folder.resolve() != target.resolve():
                pack_checkpoint(folder, target, is_rounded=True, source=self.options.name)

    def method(self) -> str:
        """How it was done, in words."""
        asked = self.options
        cards = [read_card(folder) for model in MODELS if (folder := self.checkpoint(model)) is not None]
        generators = "; ".join(
            f"{card.model} {card.preset}, {card.training.images_seen:,} images shown in {card.training.seconds:.0f} s "
            f"on {card.training.hardware}"
            for card in cards
        )
        guided = "as its checkpoint has it" if asked.guidance is None else f"{asked.guidance:g}"
        parts = ""
        if asked.fractions:
            parts = (
                f" With {asked.fractions} of the real images: generators {asked.fraction_generators} of just these, "
                f"{asked.fraction_images or 'as many as their presets say'} images shown, {asked.fraction_per_class} "
                "images a class drawn with their default samplers."
            )
        steps = "as many steps as the recipe has" if asked.steps is None else f"{asked.steps} steps"
        return (
            f"{asked.name}. {generators}. {asked.per_class} images a class from each as they are drawn (guidance of "
            f"the DDPM: {guided}), and those of {' and '.join(asked.curate) or 'none'} curated besides. "
            f"Classifiers: {asked.network or 'the network of the recipe'}, recipe {asked.recipe}, {steps}, "
            f"{asked.seeds} paired seeds{''.join(f', {setting}' for setting in asked.set)}.{parts} {asked.note}"
        ).strip()


def is_trained(name: str) -> bool:
    """Whether a name stands for a checkpoint, and not for a preset."""
    return name in packaged_checkpoints() or (Path(name) / CARD_NAME).is_file()
