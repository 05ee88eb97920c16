"""Classic augmentation of single uint8 images by albumentations pipelines, each call random by its own seed."""

from __future__ import annotations

import difflib
import inspect
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import UInt8
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.data.transform_presets import PRESETS, import_albumentations


class SampleTransform:
    """An albumentations pipeline on one image: the same image and seed give the same result, whatever ran before.

    Can be pickled, for workers. One object serves one thread at a time.
    """

    def __init__(self, pipeline: Any) -> None:
        # One pair of generators, shared by the whole tree: `set_random_seed` would start every transform at the same
        # number, so that a far shift always came with a large angle. A Philox key needs no mixing: neighbouring seeds
        # are independent streams, and setting one costs 2 microseconds instead of the 20 of a new generator.
        self._pipeline = pipeline
        self._philox = np.random.Philox(key=0)
        self._start = self._philox.state
        self._python = random.Random(0)  # noqa: S311
        pipeline.set_random_state(np.random.Generator(self._philox), self._python)

    def __call__(self, image: UInt8[Tensor, "c h w"], seed: int) -> UInt8[Tensor, "c h w"]:
        """One draw of the pipeline on `image`, which stays as it is.

        Args:
            image: On the CPU.
            seed: Any integer; only its last 64 bits count.

        Raises:
            InputError: If the pipeline gave another type or size.
        """
        seed %= 2**64
        self._start["state"]["key"][0] = seed
        self._philox.state = self._start
        self._python.seed(seed)
        pixels = image.numpy().transpose(1, 2, 0).copy()  # some transforms write into what they are given
        return _to_image(self._pipeline(image=pixels)["image"], tuple(image.shape))


@dataclass(frozen=True)
class SampleTransforms:
    """What to do with images of each origin."""

    real: SampleTransform
    synthetic: SampleTransform


def preset_transform(name: str, *, image_size: int, allows_flip: bool) -> SampleTransform:
    """A preset; in distribution the one of the same name in `batch_transforms`.

    Args:
        name: `none`, `basic`, `survey` or `strong`.
        image_size: Side of the images in pixels.
        allows_flip: Whether mirroring keeps the class.

    Raises:
        InputError: If there is no such preset.
    """
    transforms = PRESETS.get(name)(image_size, allows_flip)
    return SampleTransform(import_albumentations().Compose(transforms))


def load_transforms(path: Path, *, image_size: int, channels: int, allows_flip: bool) -> SampleTransforms:
    """Reads a YAML file of albumentations pipelines, and tries each on a random image.

    The file holds what `albumentations.save(pipeline, path, data_format="yaml")` writes, for images of both origins; or
    a table with the keys `real` and `synthetic`, each such a pipeline or the name of a preset, a missing one `none`.

    Args:
        path: The file.
        image_size: Side of the images in pixels.
        channels: 1 or 3.
        allows_flip: Whether mirroring keeps the class; for presets.

    Raises:
        InputError: If there is no such file, it holds something else, or a pipeline does not turn a uint8 image into
            one of the same shape.
    """
    trial = _trial_image(channels, image_size)

    def transform_of(value: Any, where: str) -> SampleTransform:
        try:
            if isinstance(value, str):
                return preset_transform(value, image_size=image_size, allows_flip=allows_flip)
            transform = SampleTransform(_pipeline_of(value))
            _try(transform, trial)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        except RecursionError as error:
            raise InputError(f"{where}: a pipeline that does not hold itself is needed") from error
        return transform

    content = _read_yaml(path)
    keys = sorted(map(str, content)) if isinstance(content, dict) else []
    if "transform" in keys:
        both = transform_of(content, str(path))
        return SampleTransforms(both, both)
    if not keys or not {"real", "synthetic"}.issuperset(keys):
        found = f"the keys {', '.join(keys)}" if keys else f"a {type(content).__name__}"
        raise InputError(
            f"{path}: a pipeline as albumentations.save writes it (keys __version__, transform) is needed, or a table "
            f"with the keys real and synthetic; found {found}"
        )
    of_origin = {origin: transform_of(content.get(origin, "none"), f"{path}: {origin}") for origin in _ORIGINS}
    return SampleTransforms(**of_origin)


_ORIGINS = ("real", "synthetic")


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: a readable YAML file of transforms is needed ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: a YAML file of transforms is needed, found bytes that are not text") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: a YAML file of transforms is needed, found {_in_one_line(error)}") from error


def _pipeline_of(value: Any) -> Any:
    """The pipeline that albumentations has serialised; only classes it has registered are made."""
    if not isinstance(value, dict) or not isinstance(value.get("transform"), dict):
        raise InputError(
            "the name of a preset or a pipeline as albumentations.save writes it (keys __version__, transform) is "
            f"needed; found {type(value).__name__} {str(value)[:60]!r}"
        )
    for node in _nodes(value["transform"]):
        name = _check_node(node)
        if "transforms" not in node:
            _built(node, name)  # alone first: albumentations does not say which transform it complains of
    return _built(value["transform"], "the pipeline")


def _built(node: dict[str, Any], name: str) -> Any:
    with warnings.catch_warnings():
        _refuse_warnings()
        try:
            return import_albumentations().from_dict({"transform": node})
        except Exception as error:  # what albumentations raises depends on the transform
            raise InputError(f"albumentations does not accept {name}: {_in_one_line(error)}") from error


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    children = node.get("transforms", []) if isinstance(node, dict) else []
    for child in children if isinstance(children, list) else [children]:
        yield from _nodes(child)


def _check_node(node: Any) -> str:
    """The name of a node's class, if albumentations has it and knows all arguments."""
    serialization = import_albumentations().core.serialization
    if not isinstance(node, dict) or not isinstance(node.get("__class_fullname__"), str):
        raise InputError(f"every transform needs its __class_fullname__; found {str(node)[:60]!r}")
    name: str = serialization.shorten_class_name(node["__class_fullname__"])
    if name in serialization.NON_SERIALIZABLE_REGISTRY:
        raise InputError(f"a transform that a file can hold is needed, found {name}; leave it out")
    if name not in serialization.SERIALIZABLE_REGISTRY:
        near = difflib.get_close_matches(name, serialization.SERIALIZABLE_REGISTRY)
        raise InputError(f"unknown transform {name!r}; near: {', '.join(near) or 'none'} (albumentations 2.0.8)")
    for key in ("bbox_params", "keypoint_params"):
        if node.get(key):
            raise InputError(f"images have a class and no boxes, keypoints or masks, found {key}; set it to null")
    known = inspect.signature(serialization.SERIALIZABLE_REGISTRY[name].__init__).parameters.keys() - {"self"}
    if unknown := node.keys() - known - {"__class_fullname__", "strict"}:
        raise InputError(
            f"{name} has no argument {', '.join(sorted(map(str, unknown)))}; it has {', '.join(sorted(known))}"
        )
    return name


#: What albumentations warns of without having changed or left out anything.
_ADVICE = r"(?s).*(is a special case of|is a specialized version of|is an alias for|is very slow)"


def _refuse_warnings() -> None:
    """Of an argument it does not know, or a value it changes, albumentations merely warns."""
    warnings.simplefilter("error", UserWarning)
    warnings.filterwarnings("ignore", message=_ADVICE, category=UserWarning)


#: Draws of a pipeline before training: transforms with a probability take their turn.
_TRIALS = 64


def _trial_image(channels: int, size: int) -> UInt8[Tensor, "c h w"]:
    generator = generator_for("transform trial")
    return torch.randint(0, 256, (channels, size, size), dtype=torch.uint8, generator=generator)


def _try(transform: SampleTransform, image: UInt8[Tensor, "c h w"]) -> None:
    with warnings.catch_warnings():
        _refuse_warnings()
        for seed in range(_TRIALS):
            try:
                transform(image, seed)
            except InputError:
                raise
            except Exception as error:  # what albumentations raises depends on the transform
                raise InputError(
                    f"a pipeline for images of shape {tuple(image.shape)} alone, without boxes or masks, is needed; on "
                    f"a random one it failed: {_in_one_line(error)}"
                ) from error


def _to_image(pixels: Any, shape: tuple[int, ...]) -> UInt8[Tensor, "c h w"]:
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        raise InputError(
            f"transforms must give uint8 pixels, found {getattr(pixels, 'dtype', type(pixels).__name__)}; leave out "
            "Normalize and ToTensorV2: batches are normalised afterwards"
        )
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    found = (pixels.shape[2], *pixels.shape[:2])
    if found != shape:
        raise InputError(
            f"transforms must keep the shape {shape} (channels, height, width), found {found}; "
            "resizing is not done here"
        )
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def _in_one_line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())
