"""A mixture with its sets open and its settings checked, from which loaders take their batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synthaug.core.types import LabelledImages
from synthaug.data.amounts import EpochShares, epoch_shares
from synthaug.data.batch_transforms import TRANSFORMS, BatchTransform
from synthaug.data.mixing import MixturePlan
from synthaug.data.mixture import Mixture, Synthetic, SyntheticImages, as_sets
from synthaug.data.order import ShuffledOrder
from synthaug.data.pools import Pool, open_pools, promised_counts
from synthaug.data.preparation import Preparation
from synthaug.data.splits import Splits
from synthaug.data.transforms import SampleTransforms, load_transforms


@dataclass(frozen=True, eq=False)
class OpenMixture:
    """A mixture whose sets are open and whose settings have been checked.

    Attributes:
        mixture: The settings.
        pools: The real images, then the synthetic sets.
        shares: Length of an epoch and shares of the sources.
        batch_transform: Augmentation of whole batches.
        sample_transforms: Augmentation image by image, before that; None for presets.
        augmentation: Name of the preset, or contents of the file of pipelines.
        preparation: From pixels to what networks see.
        allows_flip: Whether a mirrored image still shows its class.
    """

    mixture: Mixture
    pools: tuple[Pool, ...]
    shares: EpochShares
    batch_transform: BatchTransform
    sample_transforms: SampleTransforms | None
    augmentation: str
    preparation: Preparation
    allows_flip: bool

    @classmethod
    def of(
        cls,
        splits: Splits,
        synthetic: SyntheticImages | Sequence[SyntheticImages] | None,
        mixture: Mixture,
    ) -> OpenMixture:
        """Opens the sets and checks everything, so that a training that has begun finds nothing amiss.

        Raises:
            InputError: If sets do not match the real images, amounts contradict each other, or a transform is unknown.
            DamageError: If a set is damaged.
        """
        check_mixture(splits, synthetic, mixture)
        real, sets = splits.train, as_sets(synthetic)
        preset, by_sample = _transforms_of(mixture.transform, splits)
        pools = open_pools(real, sets, loading=mixture.loading, on_damage=mixture.on_damage)
        shares = _shares_of(real, sets, mixture, [len(pool) for pool in pools[1:]])
        normalise = preset.normalises if mixture.normalise is None else mixture.normalise
        preparation = Preparation.of(real.images, normalise=normalise, input_size=mixture.input_size)
        augmentation = (
            str(mixture.transform) if by_sample is None else Path(mixture.transform).read_text(encoding="utf-8")
        )
        return cls(mixture, pools, shares, preset, by_sample, augmentation, preparation, splits.allows_flip)

    @property
    def class_count(self) -> int:
        """Number of classes."""
        return len(self.pools[0].class_names)

    def steps(self, world_size: int) -> int:
        """Batches of an epoch on each of `world_size` processes: together at least the images of an epoch."""
        return -(-self.shares.images // (self.mixture.batch_size * world_size))

    def plan(self, world_size: int) -> MixturePlan:
        """The slots of all epochs for a number of processes; an epoch is rounded up to whole batches on all of them."""
        mixture = self.mixture
        return MixturePlan(
            orders=tuple(
                ShuffledOrder(pool.blocks, mixture.seed, "real" if number == 0 else f"synthetic {number}")
                for number, pool in enumerate(self.pools)
            ),
            weights=self.shares.weights,
            schedule=self.shares.schedule,
            epochs=None if self.shares.schedule.is_constant else mixture.epochs,
            epoch_slots=self.steps(world_size) * world_size * mixture.batch_size,
            batching=mixture.batching,
            seed=mixture.seed,
        )


def check_mixture(
    splits: Splits, synthetic: SyntheticImages | Sequence[SyntheticImages] | None, mixture: Mixture
) -> int:
    """Refuses what cannot be mixed, without reading a shard or writing anything.

    Returns:
        Images of all synthetic sets together.

    Raises:
        InputError: If sets do not match the real images, amounts contradict each other, or a transform is unknown.
    """
    sets = as_sets(synthetic)
    _transforms_of(mixture.transform, splits)
    counts = promised_counts(splits.train, sets)
    _shares_of(splits.train, sets, mixture, counts)
    return sum(counts)


def _shares_of(real: LabelledImages, sets: Sequence[Synthetic], mixture: Mixture, counts: Sequence[int]) -> EpochShares:
    return epoch_shares(
        len(real),
        counts,
        real=mixture.real,
        synthetic=[one.amount for one in sets],
        synthetic_fraction=mixture.synthetic_fraction,
        mode=mixture.mode,
        epoch_size=mixture.epoch_size,
    )


def _transforms_of(transform: str | Path, splits: Splits) -> tuple[BatchTransform, SampleTransforms | None]:
    if isinstance(transform, Path) or transform.endswith((".yaml", ".yml", ".json")):  # JSON is YAML
        train = splits.train
        by_sample = load_transforms(
            Path(transform), image_size=train.image_size, channels=train.channels, allows_flip=splits.allows_flip
        )
        return TRANSFORMS.get("none"), by_sample
    return TRANSFORMS.get(transform), None


def with_epochs(opened: OpenMixture, epochs: int | None) -> OpenMixture:
    """The same mixture with this number of epochs, unless it has one of its own."""
    if opened.mixture.epochs is not None or epochs is None:
        return opened
    return replace(opened, mixture=replace(opened.mixture, epochs=epochs))
