"""The settings of a mixture of real and synthetic images, and the batches that come of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.losses import weighted_cross_entropy
from synthaug.core.types import LabelledImages
from synthaug.data.amounts import Amount, FractionSchedule, Mode, coerce
from synthaug.data.mixing import Batching
from synthaug.shards.reader import OnDamage

Loading = Literal["auto", "memory", "streaming"]


class Batch(NamedTuple):
    """What a training step receives, on the loader's device.

    Attributes:
        images: As networks see them: in [-1, 1], or standardised if the mixture normalises.
        labels: Class indices; after mixup or CutMix that of the image which makes up the larger part.
        targets: Class probabilities: one-hot, smoothed for synthetic images, mixed by mixup and CutMix.
        weights: How much each image counts in the loss; 1 for real ones.
        is_synthetic: True where the image was generated.
        sources: 0 for real images, 1 and up for the synthetic sets in their order.
        indices: Position of each image in its source.
    """

    images: Float[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    targets: Float[Tensor, "n k"]
    weights: Float[Tensor, " n"]
    is_synthetic: Bool[Tensor, " n"]
    sources: Int64[Tensor, " n"]
    indices: Int64[Tensor, " n"]

    def loss(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
        """Cross-entropy of a network's logits with the targets: the mean over the batch by `weights`."""
        return weighted_cross_entropy(logits, self.targets, self.weights)


@dataclass(frozen=True)
class Synthetic:
    """A synthetic set and how much of it an epoch takes.

    Attributes:
        images: Images in memory, or the folder or URL of a shard set.
        proportion: Its weight among the synthetic sets (and the real images, if they have one); 1 if nothing is given.
        repeat: Its own size, times this, in every epoch, before that is rounded up to whole batches.
        choose: So many of its images in every epoch, likewise.
    """

    images: LabelledImages | str | Path
    proportion: float | None = None
    repeat: float | None = None
    choose: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.images, LabelledImages | str | Path):
            raise InputError(f"a synthetic set is LabelledImages, a path or a URL; found {type(self.images).__name__}")
        self.amount  # noqa: B018 - refuses numbers that are none

    @property
    def amount(self) -> Amount:
        """The three numbers alone."""
        return Amount(self.proportion, self.repeat, self.choose)


SyntheticImages = Synthetic | LabelledImages | str | Path


@dataclass(frozen=True)
class Mixture:
    """How real and synthetic images are mixed, augmented and weighed.

    Weights, label smoothing, mixup and CutMix reach a training through the `targets` and `weights` of its batches,
    which `Batch.loss` takes into account; a loss of `labels` alone knows nothing of them.

    Attributes:
        synthetic_fraction: Synthetic share of every batch: a number in [0, 1], or a change over the epochs like
            "0.7:0.0 linear" (or cosine, or step). By default a half, unless the amounts of the sources say otherwise.
        mode: `replace`: an epoch is as long as the real set, synthetic images replace real ones in it. `add`: they come
            on top of one pass through the real images.
        epoch_size: Images in an epoch, instead. Every epoch is rounded up to whole batches on all processes, and with
            it, in proportion, what it takes of each source; the next begins where its sources are then.
        epochs: Number of epochs, for a changing share; a Lightning trainer knows it.
        batching: `stratified`: every batch holds its share, rounded up or down. `random`: every epoch does.
        batch_size: Images in a batch of one process; all batches are full.
        real: How much of the real images an epoch takes, if not all.
        transform: Classic augmentation: a preset (none, basic, survey, strong), run on whole batches on the device; or
            a YAML or JSON file with albumentations pipelines, run image by image.
        normalise: Whether images are standardised by mean and deviation of the real training images, instead of mapped
            to [-1, 1]; by default as the preset does. `imagenet` standardises by ImageNet's, for its weights.
        input_size: Resize images to so many pixels after augmentation, as networks for larger images need.
        mixup: Parameter of mixup's Beta distribution (Zhang et al. 2018); 0 is off.
        cutmix: Parameter of CutMix's Beta distribution (Yun et al. 2019); 0 is off. With both, each image takes one.
        synthetic_loss_weight: How much a synthetic image counts in the loss, where a real one counts 1.
        synthetic_label_smoothing: Share of a synthetic image's target spread evenly over all classes.
        loading: `memory`: sets are decoded once and held. `streaming`: images are read from the shards when needed.
            `auto` holds what fits into half of the memory available. Both give the same batches.
        workers: Processes that read or augment, where images are streamed or augmented one by one; by default one for
            each processor.
        on_damage: Whether damage in a shard is an `error`, or `skip` leaves the damaged samples out.
        seed: Seed of order and augmentation.
    """

    synthetic_fraction: float | str | FractionSchedule | None = None
    mode: Mode = "replace"
    epoch_size: int | None = None
    epochs: int | None = None
    batching: Batching = "stratified"
    batch_size: int = 128
    real: Amount = field(default_factory=Amount)
    transform: str | Path = "basic"
    normalise: bool | Literal["imagenet"] | None = None
    input_size: int | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    synthetic_loss_weight: float = 1.0
    synthetic_label_smoothing: float = 0.0
    loading: Loading = "auto"
    workers: int | None = None
    on_damage: OnDamage = "error"
    seed: int = 0

    def __post_init__(self) -> None:
        whole = ("batch_size", "epoch_size", "epochs", "input_size", "workers", "seed")
        coerce(self, whole=whole, real=("mixup", "cutmix", "synthetic_loss_weight", "synthetic_label_smoothing"))
        if not isinstance(self.transform, str | Path) or not isinstance(self.real, Amount):
            raise InputError(
                f"transform must be a name or a path and real an Amount, found {self.transform!r}, {self.real!r}"
            )
        if self.synthetic_fraction is not None:
            FractionSchedule.parse(self.synthetic_fraction)
        choices: dict[str, tuple[Any, ...]] = {
            "mode": ("replace", "add"),
            "batching": ("stratified", "random"),
            "loading": ("auto", "memory", "streaming"),
            "on_damage": ("error", "skip"),
            "normalise": (None, False, True, "imagenet"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"{_flag(name)} must be one of {', '.join(map(str, known))}, found {getattr(self, name)!r}"
                )
        for name, least in {"batch_size": 1, "epoch_size": 1, "epochs": 1, "input_size": 4, "workers": 0}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{_flag(name)} must be at least {least}, found {value}")
        for name in ("mixup", "cutmix", "synthetic_loss_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{_flag(name)} must be 0 or more, found {getattr(self, name)}")
        if not 0 <= self.synthetic_label_smoothing < 1:
            raise InputError(f"--synthetic-label-smoothing must lie in [0, 1), found {self.synthetic_label_smoothing}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def as_sets(synthetic: SyntheticImages | Sequence[SyntheticImages] | None) -> tuple[Synthetic, ...]:
    """The synthetic sets, however they were given: none, one or several, with or without amounts."""
    if synthetic is None:
        return ()
    if isinstance(synthetic, Synthetic | LabelledImages | str | Path):
        synthetic = (synthetic,)
    if not isinstance(synthetic, Sequence):
        raise InputError(f"synthetic sets are given as one or a list of them, found {type(synthetic).__name__}")
    return tuple(one if isinstance(one, Synthetic) else Synthetic(one) for one in synthetic)
