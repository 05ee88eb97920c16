"""What the settings of all workflows have in common: validation at the door, YAML files, a copy beside the output."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from synthaug.core.console import log
from synthaug.core.errors import InputError
from synthaug.core.runtime import DeviceName, PrecisionName, Runtime
from synthaug.core.storage import write_text
from synthaug.data.sources import Source, load_source
from synthaug.data.splits import Splits, make_splits

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)([smh]?)$")
_COUNT = re.compile(r"^(\d[\d_]*(?:\.\d+)?)([kKmM]?)$")
_MULTIPLES = {"": 1, "k": 1000, "m": 1_000_000}
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(value: object) -> object:
    """Seconds from `90`, `90s`, `9m` or `1.5h`; other types pass through to validation."""
    if not isinstance(value, str):
        return value
    match = _DURATION.match(value.strip())
    if match is None:
        raise ValueError(f"a duration like 90s, 9m or 1.5h is needed, found {value!r}")
    return float(match.group(1)) * _UNITS[match.group(2)]


def parse_count(value: object) -> object:
    """A number from `2M`, `500k` or `1_000_000`; other types pass through to validation."""
    if not isinstance(value, str):
        return value
    match = _COUNT.match(value.strip())
    if match is None:
        raise ValueError(f"a count like 50000, 500k or 2M is needed, found {value!r}")
    return round(float(match.group(1).replace("_", "")) * _MULTIPLES[match.group(2).lower()])


Count = Annotated[int, BeforeValidator(parse_count), Field(ge=1)]
Duration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0, allow_inf_nan=False)]
#: A path or a URL (s3://, gs://, hf://, http://).
Location = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, Path) else value)]
#: Paths or URLs; one may stand alone.
Locations = Annotated[
    tuple[Location, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str | Path) else value),
]


def is_repeated(annotation: Any) -> bool:
    """Whether the flag of a setting of this type is given once for each value: a tuple of any length."""
    return get_origin(annotation) is tuple and get_args(annotation)[-1] is Ellipsis


class Settings(BaseModel):
    """Settings of a verb. Field descriptions are the help texts of the flags of the same names."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @classmethod
    def resolve(cls, values: dict[str, Any], file: Path | None = None) -> Self:
        """Merges a YAML file and given values, which win, and validates the whole.

        Raises:
            InputError: For an unreadable file, an unknown key or a value out of range.
        """
        merged = {**(_read_yaml(file) if file is not None else {}), **values}
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise InputError("; ".join(_explain(cls, detail) for detail in error.errors())) from error

    def flags(self) -> list[str]:
        """The command-line words that give these settings; defaults are left out."""
        words = []
        for name, value in self.model_dump(mode="json", exclude_defaults=True).items():
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, bool):
                words.append(flag if value else f"--no-{flag[2:]}")
            elif isinstance(value, list) and is_repeated(type(self).model_fields[name].annotation):
                words.extend(word for entry in value for word in (flag, str(entry)))
            elif isinstance(value, list):
                words.extend([flag, ",".join(map(str, value))])
            elif value is not None:
                words.extend([flag, str(value)])
        return words

    def to_yaml(self) -> str:
        """The contents of a file for --config."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def save(self, folder: Path) -> None:
        """Writes `config.yaml` into `folder`, ready for --config."""
        write_text(folder / "config.yaml", self.to_yaml())


class WorkflowConfig(Settings):
    """Settings of a workflow that computes.

    Attributes:
        seed: Seed of everything random except the split.
        device: Where to compute.
        precision: Number format of matrix products.
    """

    panel: ClassVar = "Common"
    seed: int = Field(0, ge=0, description="Seed of everything random except the split.")
    device: DeviceName = Field("auto", description="Where to compute; auto takes a GPU if there is one.")
    precision: PrecisionName = Field("auto", description="auto takes bf16 where the hardware multiplies it.")

    def runtime(self) -> Runtime:
        """Device and precision, resolved."""
        return Runtime.resolve(self.device, self.precision)


class DataConfig(WorkflowConfig):
    """Settings of a workflow that reads real images.

    Attributes:
        data: SPEC of the source.
        fraction: Share of the real training images to use.
        per_class_real: Real training images per class to use.
        image_size: Crop and resize to this many pixels.
        flip: Whether a mirrored image still shows its class.
        split_seed: Seed of the split.
    """

    panel: ClassVar = "Data"
    data: str = Field(
        "digits", description="Real images: digits, cifar10[:ROOT], imagefolder:PATH or wds:DIR_OR_PATTERN."
    )
    fraction: float = Field(1.0, description="Share of the real training images to use, in (0, 1].")
    per_class_real: int | None = Field(
        None, description="Real training images per class to use, instead of a fraction."
    )
    image_size: int | None = Field(None, description="Crop the centre and resize to this many pixels.")
    flip: bool | None = Field(
        None, description="Whether a mirrored image still shows its class; the source knows by default (digits: no)."
    )
    split_seed: int = Field(0, ge=0, description="Seed of the split into train, validation and test.")

    def splits(self) -> Splits:
        """Loads and splits the real images."""
        return self.split(load_source(self.data, image_size=self.image_size))

    def split(self, source: Source) -> Splits:
        """Splits a loaded source by these settings, and warns of images that stand on both sides of the split."""
        return split_source(
            source, fraction=self.fraction, per_class_real=self.per_class_real, seed=self.split_seed, flip=self.flip
        )


def split_source(
    source: Source, *, fraction: float, per_class_real: int | tuple[int, ...] | None, seed: int, flip: bool | None
) -> Splits:
    """Splits a loaded source, and warns of images that stand on both sides of the split.

    Args:
        source: The images.
        fraction: Share of the training images in use.
        per_class_real: Training images per class in use, instead.
        seed: Of the split.
        flip: Whether a mirrored image still shows its class; None leaves it to the source.
    """
    if flip is not None:
        source = replace(source, allows_flip=flip)
    splits = make_splits(source, fraction=fraction, per_class_real=per_class_real, seed=seed)
    if repeated := splits.repeated():
        held_out = len(splits.validation) + len(splits.test)
        log(
            f"warning: {repeated} of {held_out} validation and test images are also training images, pixel for "
            "pixel; accuracies will come out too high. Remove the repetitions from the source."
        )
    return splits


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--config {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"--config {file}: not valid YAML ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"--config {file}: a table of settings is needed, found {type(value).__name__}")
    return {str(key).replace("-", "_"): entry for key, entry in value.items()}


def _explain(config: type[Settings], detail: Any) -> str:
    name = ".".join(map(str, detail["loc"]))
    flag = f"--{name.partition('.')[0].replace('_', '-')}"
    if detail["type"] == "extra_forbidden":
        return f"unknown setting {name!r}; known: {', '.join(config.model_fields)}"
    if detail["type"] == "missing":
        extra = config.model_fields[name].json_schema_extra if name in config.model_fields else None
        return f"{extra['argument'] if isinstance(extra, dict) else flag} is required"
    message = detail["msg"].removeprefix("Value error, ")
    if ", found " in message:
        return f"{flag}: {message}"
    return f"{flag}: {message[:1].lower()}{message[1:]}, found {detail['input']!r}"
