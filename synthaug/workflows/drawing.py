"""What is to be drawn: the settings of a set, resolved against a checkpoint into a plan."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import yaml
from pydantic import BeforeValidator, Field

from synthaug.core.errors import InputError
from synthaug.core.folders import Folder, read_bytes
from synthaug.core.runtime import DeviceName, Runtime
from synthaug.generators.base import Generator, GeneratorSpec, SamplerSettings, load_backend
from synthaug.generators.checkpoint import CheckpointCard
from synthaug.shards.plan import MAX_SHARDS, GeneratorRecord, SetPlan
from synthaug.workflows.checkpoints import FoundCheckpoint, find_by_hash, find_checkpoint
from synthaug.workflows.config import WorkflowConfig

DEFAULT_BATCH_SIZE = 256
_NUMBERS = re.compile(r"^(\d+)(?:-(\d+))?$")
_DIGITS = re.compile(r"^\d{1,9}$")
_SHARE = re.compile(r"^(\d+)/(\d+)$")


def _as_text(value: object) -> object:
    """A YAML list or number in the form of the flag."""
    if isinstance(value, list) and all(isinstance(entry, str | int) for entry in value):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, int) else value


def _as_pair(value: object) -> object:
    """Two numbers from `0.3,5`; other types pass through to validation."""
    parts = value.split(",") if isinstance(value, str) else value
    if isinstance(parts, list) and len(parts) != 2:
        raise ValueError(f"two numbers with a comma between them are needed, like 0.3,5; found {value!r}")
    return parts


Numbers = Annotated[str, BeforeValidator(_as_text)]
Interval = Annotated[tuple[float, float], BeforeValidator(_as_pair)]


class DrawConfig(WorkflowConfig):
    """Settings that decide what is drawn."""

    model: str = Field(
        "ddpm",
        description="Kind of generator (takes your newest checkpoint, else the packaged), or a checkpoint folder.",
    )
    per_class: int = Field(ge=1, description="Images to make of each class.")
    classes: Numbers | None = Field(
        None, description="Classes to draw, by name or number, like cat,dog or 0,2,5-7; all if not given."
    )
    sampler: str | None = Field(None, description="Sampler; the generator's default if not given.")
    steps: int | None = Field(None, description="Sampling steps; the generator's default if not given.")
    guidance: float | None = Field(None, description="Classifier-free guidance weight; 1 is none.")
    guidance_interval: Interval | None = Field(
        None, description="Noise levels LOW,HIGH (standard deviations, images in -1..1) to guide at; all if not given."
    )
    truncation: float | None = Field(
        None, description="Largest absolute value of an ACGAN's latent variables: less variety, more typical images."
    )
    compile: bool = Field(
        False, description="Compile the network first (torch.compile): a minute or two once, then faster."
    )
    shard_size: int = Field(1000, ge=1, le=10_000, description="Images per shard.")
    batch_size: int | None = Field(
        None, ge=1, description=f"Images sampled at once, at most a shard; {DEFAULT_BATCH_SIZE} if not given."
    )
    image_format: Literal["png", "webp"] = Field(
        "png", description="png, or webp (lossless): a third smaller, slower to write."
    )


@dataclass(frozen=True)
class Drawing:
    """A loaded generator and what it is to draw.

    Attributes:
        found: The checkpoint and why it was taken.
        generator: The generator.
        plan: The set.
    """

    found: FoundCheckpoint
    generator: Generator
    plan: SetPlan

    @classmethod
    def of(cls, config: DrawConfig, before: SetPlan | None = None) -> Drawing:
        """Loads the checkpoint and resolves all settings.

        Args:
            config: The settings.
            before: The plan of the set that is to be continued, whose batch size is kept unless another is given.

        Raises:
            InputError: For settings that this generator cannot draw with.
        """
        found = find_checkpoint(config.model)
        runtime = Runtime.resolve(config.device, config.precision, compiled=config.compile)
        generator = load_backend(found.card.model).load(found.folder, runtime)
        spec, default = generator.spec, generator.default_settings
        settings = SamplerSettings(
            sampler=default.sampler if config.sampler is None else config.sampler,
            steps=default.steps if config.steps is None else config.steps,
            guidance=default.guidance if config.guidance is None else config.guidance,
            guidance_interval=config.guidance_interval or default.guidance_interval,
            truncation=default.truncation if config.truncation is None else config.truncation,
        )
        generator.check_settings(settings)
        classes = chosen_classes(config.classes, spec.class_names)
        if config.per_class * len(classes) > MAX_SHARDS * config.shard_size:
            raise InputError(f"a set has at most {MAX_SHARDS} shards: give a larger --shard-size")
        if config.batch_size is None and before is not None:
            batch_size = before.batch_size
        else:
            asked = config.batch_size or DEFAULT_BATCH_SIZE
            batch_size = min(asked, config.shard_size, config.per_class * len(classes))
        plan = SetPlan(
            generator=_record(spec, found.card),
            sampler=settings.sampler,
            steps=settings.steps,
            guidance=settings.guidance,
            guidance_interval=settings.guidance_interval,
            truncation=settings.truncation,
            precision=runtime.precision,
            compiled=runtime.compiled,
            seed=config.seed,
            class_names=spec.class_names,
            classes=classes,
            per_class=config.per_class,
            shard_size=config.shard_size,
            batch_size=batch_size,
            image_format=config.image_format,
        )
        return cls(found, generator, plan)

    @classmethod
    def again(cls, plan: SetPlan, *, model: str | None, folder: Folder, device: DeviceName) -> Drawing:
        """Loads the generator of an existing set.

        Args:
            plan: Its plan.
            model: The checkpoint; by default it is looked for by its hash.
            folder: The set, whose settings tell where the checkpoint was.
            device: Where to compute.

        Raises:
            InputError: If the checkpoint is not found.
        """
        hints = [model] if model is not None else [_former_model(folder)]
        found = find_by_hash(plan.generator.checkpoint, [hint for hint in hints if hint])
        runtime = Runtime.resolve(device, plan.precision, compiled=plan.compiled)
        generator = load_backend(found.card.model).load(found.folder, runtime)
        spec = generator.spec
        if spec.sampling_version != plan.generator.sampling_version:
            raise InputError(
                f"{folder} was drawn by version {plan.generator.sampling_version} of the {spec.model} sampler, this is "
                f"version {spec.sampling_version}, which draws other images; make the set again"
            )
        return cls(found, generator, plan)

    @property
    def settings(self) -> SamplerSettings:
        """The sampler's settings."""
        plan = self.plan
        return SamplerSettings(plan.sampler, plan.steps, plan.guidance, plan.guidance_interval, plan.truncation)


def _record(spec: GeneratorSpec, card: CheckpointCard) -> GeneratorRecord:
    return GeneratorRecord(
        model=spec.model,
        checkpoint=spec.checkpoint,
        preset=card.preset,
        parameters=card.training.parameters,
        images_seen=card.training.images_seen,
        training_seconds=card.training.seconds,
        image_size=spec.image_size,
        channels=1 if spec.channels == 1 else 3,
        allows_flip=spec.allows_flip,
        split=spec.split,
        ancestors=spec.ancestors,
        sampling_version=spec.sampling_version,
    )


def _former_model(folder: Folder) -> str:
    if not folder.has("config.yaml"):
        return ""
    try:
        value = yaml.safe_load(read_bytes(folder, "config.yaml"))
    except yaml.YAMLError:
        return ""
    return str(value.get("model", "")) if isinstance(value, dict) else ""


def chosen_classes(text: str | None, class_names: tuple[str, ...]) -> tuple[int, ...]:
    """The labels that `--classes` names, ascending.

    Args:
        text: Numbers, ranges of numbers and names with commas between them; None for all. A number that is the name
            of a class means that class, whatever its label.
        class_names: Names in label order.

    Raises:
        InputError: For a number or name that there is not.
    """
    if text is None:
        return tuple(range(len(class_names)))
    labels = {name: label for label, name in enumerate(class_names)}
    if text in labels:  # a name may hold commas
        return (labels[text],)
    chosen: set[int] = set()
    for entry in (part.strip() for part in text.split(",")):
        if entry in labels:
            chosen.add(labels[entry])
        elif match := _NUMBERS.match(entry):
            highest = max(len(class_names), *(int(name) + 1 for name in class_names if _DIGITS.match(name)), 0)
            for number in _numbers("--classes", match, highest):
                label = labels.get(str(number), number)
                if label >= len(class_names):
                    raise InputError(f"--classes: there is no class {number}, found {entry!r}")
                chosen.add(label)
        else:
            known = ", ".join(class_names[:20]) + (", ..." if len(class_names) > 20 else "")
            raise InputError(f"--classes: unknown class {entry!r}; known: {known}")
    return tuple(sorted(chosen))


def chosen_shards(text: str | None, shard_count: int) -> range | list[int]:
    """The shards that `--shards` names.

    Args:
        text: Numbers and ranges like 0-99 or 0,5,7-9, or K/N for share K (from 0) of N; None for all.
        shard_count: Shards of the set.

    Raises:
        InputError: If the text is none of these, or names a shard beyond the last.
    """
    if text is None:
        return range(shard_count)
    if match := _SHARE.match(text.strip()):
        part, parts = int(match[1]), int(match[2])
        if part >= parts:
            raise InputError(f"--shards K/N: K must lie in 0..N-1, found {text}")
        return range(part, shard_count, parts)
    chosen: set[int] = set()
    for entry in (part.strip() for part in text.split(",")):
        match = _NUMBERS.match(entry)
        if match is None:
            raise InputError(f"--shards takes numbers like 0-99 or 0,5,7-9, or a share like 3/16; found {entry!r}")
        chosen.update(_numbers("--shards", match, shard_count))
    return sorted(chosen)


def _numbers(flag: str, match: re.Match[str], count: int) -> range:
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise InputError(f"{flag}: a range begins with its smaller number, found {match[0]!r}")
    if last >= count:
        raise InputError(f"{flag}: numbers must lie in 0..{count - 1}, found {match[0]!r}")
    return range(first, last + 1)
