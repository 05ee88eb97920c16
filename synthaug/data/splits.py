"""Train, validation and test as a pure function of (source, fraction, seed); no image is in two of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.core.types import LabelledImages, SplitRecord
from synthaug.data.equality import equal_to_any
from synthaug.data.sources import Source

_TEST_SHARE = 0.2
_VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Splits:
    """The parts of a source in use.

    Attributes:
        train: The real images to learn from, after `fraction` or `per_class_real`.
        validation: Selects; never trained on.
        test: Touched once.
        record: Fingerprints that travel with everything trained on `train`.
        allows_flip: Whether a mirrored image still shows its class.
    """

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    record: SplitRecord
    allows_flip: bool

    def repeated(self) -> int:
        """How many validation and test images are also training images, pixel for pixel."""
        train = self.train.images
        parts = (self.validation.images, self.test.images)
        return sum(int(equal_to_any(part, train, mirrored=False).sum()) for part in parts)

    def are_test_images(self, images: UInt8[Tensor, "n c h w"]) -> Bool[Tensor, " n"]:
        """Which images equal a test image, and no training image, pixel for pixel; mirrored where that keeps the class.

        Nothing that is trained on such images can be tested on this split.
        """
        return self._are_held_out(images, self.test)

    def are_validation_images(self, images: UInt8[Tensor, "n c h w"]) -> Bool[Tensor, " n"]:
        """Which images equal a validation image, and no training image, likewise; nothing on them may be chosen."""
        return self._are_held_out(images, self.validation)

    def _are_held_out(self, images: UInt8[Tensor, "n c h w"], part: LabelledImages) -> Bool[Tensor, " n"]:
        in_part, in_train = (equal_to_any(images, one.images, mirrored=self.allows_flip) for one in (part, self.train))
        return in_part & ~in_train


def make_splits(
    source: Source, *, fraction: float = 1.0, per_class_real: int | tuple[int, ...] | None = None, seed: int = 0
) -> Splits:
    """Splits a source class by class.

    A source without an official test set gives 20 % of each class to test; 10 % of what remains validates. Validation
    and test depend on the seed only. Smaller fractions are subsets of larger ones.

    Args:
        source: What to split.
        fraction: Share of the training images to use, in (0, 1]; at least one per class stays.
        per_class_real: Training images to use of each class, instead of a fraction: one number for all, or one for each
            in label order.
        seed: Seed of the split.

    Raises:
        InputError: If the fraction is out of range, there is only one class, or a class is too small to split.
    """
    pool = source.train
    if not 0.0 < fraction <= 1.0:
        raise InputError(f"--fraction must lie in (0, 1], found {fraction}")
    if per_class_real is not None and fraction != 1.0:
        raise InputError("give --fraction or --per-class-real, not both")
    classes = len(pool.class_names)
    if classes < 2:
        raise InputError(f"{source.spec}: at least two classes are needed, found {list(pool.class_names)}")
    wanted = (per_class_real,) * classes if isinstance(per_class_real, int | None) else per_class_real
    if len(wanted) != classes:
        raise InputError(f"{source.spec}: numbers for {len(wanted)} classes are given, found {classes} classes")
    for number in wanted:
        if number is not None and number < 1:
            raise InputError(f"--per-class-real must be at least 1, found {number}")

    parts: dict[str, list[Int64[Tensor, " m"]]] = {"train": [], "validation": [], "test": []}
    for label, members in enumerate(pool.indices_by_class()):
        order = members[torch.randperm(len(members), generator=generator_for("split", seed, label))]
        test_count = 0 if source.test is not None else max(1, round(_TEST_SHARE * len(order)))
        validation_count = max(1, round(_VALIDATION_SHARE * (len(order) - test_count)))
        available = len(order) - test_count - validation_count
        if available < 1:
            raise InputError(
                f"{source.spec}: class {pool.class_names[label]!r} has {len(order)} image(s); at least "
                f"{2 if source.test is not None else 3} are needed to train, validate and test"
            )
        if (number := wanted[label]) is not None and number > available:
            raise InputError(
                f"--per-class-real {number} is more than the {available} training images that class "
                f"{pool.class_names[label]!r} of {source.spec} has"
            )
        in_use = number or max(1, round(fraction * available))
        parts["test"].append(order[:test_count])
        parts["validation"].append(order[test_count : test_count + validation_count])
        parts["train"].append(order[test_count + validation_count :][:in_use])

    train, validation = (pool.take(torch.cat(parts[part]).sort().values) for part in ("train", "validation"))
    test = source.test if source.test is not None else pool.take(torch.cat(parts["test"]).sort().values)
    record = SplitRecord(
        source=source.spec,
        source_fingerprint=source_fingerprint(source),
        seed=seed,
        class_counts=train.class_counts(),
        train_fingerprint=train.fingerprint,
        held_out_fingerprint=_joined(validation.fingerprint, test.fingerprint),
    )
    return Splits(train, validation, test, record, source.allows_flip)


def source_fingerprint(source: Source) -> str:
    """Names all images of a source, before splitting."""
    return _joined(source.train.fingerprint, source.test.fingerprint if source.test is not None else "")


def _joined(*fingerprints: str) -> str:
    return hashlib.sha256("+".join(fingerprints).encode()).hexdigest()


def leak(generator: SplitRecord, consumer: SplitRecord, *, whose: str = "its generator") -> str | None:
    """Why what was trained on one split must not be used in training a classifier on another; None if it may.

    It may if it provably saw none of the consumer's validation and test images, and no real image that the consumer
    itself may not train on: same source, same held-out images, and no more of any class.

    Args:
        generator: What a generator, or another network, was trained on.
        consumer: The classifier's split.
        whose: What the reason is to call it.
    """
    if generator.source_fingerprint != consumer.source_fingerprint:
        return (
            f"{whose} was trained on other images ({generator.source}), so nothing shows that it has not seen "
            "the validation or test images"
        )
    if generator.held_out_fingerprint != consumer.held_out_fingerprint:
        return (
            f"{whose} was trained on a split with seed {generator.seed} (here {consumer.seed}), so it has seen "
            "validation or test images"
        )
    if len(generator.class_counts) != len(consumer.class_counts):
        return f"{whose} was trained on other classes"
    pairs = zip(generator.class_counts, consumer.class_counts, strict=True)
    if any(seen > allowed for seen, allowed in pairs):
        return (
            f"{whose} saw {sum(generator.class_counts)} real training images, more than the "
            f"{sum(consumer.class_counts)} that the real arms may use, so a gain could not be told from more real data"
        )
    return None
