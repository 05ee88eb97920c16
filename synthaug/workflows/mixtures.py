"""The settings that say what is mixed into a training and how, and the check that it may be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from synthaug.classifiers.recipes import Recipe
from synthaug.core.errors import InputError
from synthaug.core.seeding import derive_seed
from synthaug.core.types import LabelledImages, SplitRecord
from synthaug.data.amounts import Mode
from synthaug.data.mixing import Batching
from synthaug.data.mixture import Loading, Mixture, Synthetic
from synthaug.data.pools import check_matches
from synthaug.data.splits import Splits, leak
from synthaug.shards.manifest import Manifest
from synthaug.shards.plan import SetPlan
from synthaug.shards.reader import OnDamage, read_set
from synthaug.shards.verify import verify_set
from synthaug.workflows.config import Locations
from synthaug.workflows.recipes import RecipeConfig

#: A number, or text like "0.7:0.0 linear".
_Fraction = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value)]


class MixtureConfig(RecipeConfig):
    """Settings of a workflow that trains a classifier on real images with synthetic ones mixed in."""

    panel: ClassVar = "Mixing"
    synthetic: Locations = Field(
        (), description="A synthetic shard set to mix in, a folder or URL; repeat the flag for several."
    )
    synthetic_fraction: _Fraction | None = Field(
        None,
        description="Share of each batch that is synthetic, with --synthetic: a number, or a change over the training "
        "like '0.7:0.0 linear' (or cosine, or step); half if not given.",
    )
    proportion: tuple[float, ...] = Field((), description="Weight of each --synthetic among them, in their order.")
    repeat: tuple[float, ...] = Field((), description="Passes through each --synthetic in an epoch, in their order.")
    choose: tuple[int, ...] = Field((), description="Images of each --synthetic in an epoch, in their order.")
    mode: Mode = Field(
        "replace", description="Whether synthetic images replace real ones of an epoch, or are added to them."
    )
    batching: Batching = Field(
        "stratified", description="Whether every batch holds its synthetic share, or an epoch in random order does."
    )
    synthetic_loss_weight: float = Field(1.0, description="How much a synthetic image counts in the loss.")
    synthetic_label_smoothing: float = Field(0.0, description="Label smoothing of synthetic images.")
    transform: str | None = Field(
        None,
        description="Classic augmentation, instead of the recipe's: none, basic, survey or strong, or a YAML file of "
        "albumentations pipelines.",
    )
    normalise: bool | None = Field(
        None, description="Standardise by the statistics of the real training images; by default as --transform does."
    )
    input_size: int | None = Field(None, description="Resize images to so many pixels after augmentation.")
    mixup: float = Field(0.0, description="Parameter of mixup's Beta distribution; 0 is off.")
    cutmix: float = Field(0.0, description="Parameter of CutMix's Beta distribution; 0 is off.")
    loading: Loading = Field(
        "auto", description="Whether sets are decoded into memory or streamed from disk; auto goes by their size."
    )
    workers: int | None = Field(
        None, description="Processes that read or augment image by image; one for each processor if not given."
    )
    on_damage: OnDamage = Field("error", description="What to do with damaged samples of a set.")

    def mixture(self, recipe: Recipe) -> Mixture:
        """How images are mixed.

        Args:
            recipe: Says how many images a batch holds, and how they are augmented unless something else was asked for.

        Raises:
            InputError: If a number is out of range, or the mixture has nothing to mix in.
        """
        if not self.synthetic:
            for name in ("synthetic_fraction", "proportion", "repeat", "choose"):
                if getattr(self, name) not in (None, ()):
                    flag = f"--{name.replace('_', '-')}"
                    raise InputError(f"{flag} needs a set to take images from: give --synthetic DIR too")
        return Mixture(
            synthetic_fraction=self.synthetic_fraction,
            mode=self.mode,
            batching=self.batching,
            batch_size=recipe.batch_size,
            transform=self.transform or recipe.transform,
            normalise=self.normalise,
            input_size=self.input_size,
            mixup=self.mixup,
            cutmix=self.cutmix,
            synthetic_loss_weight=self.synthetic_loss_weight,
            synthetic_label_smoothing=self.synthetic_label_smoothing,
            loading=self.loading,
            workers=self.workers,
            on_damage=self.on_damage,
            seed=derive_seed("batches", self.seed),
        )

    def sets(self) -> list[Synthetic]:
        """The synthetic sets with their amounts.

        Raises:
            InputError: If there is not one amount for each set.
        """
        amounts = {name: getattr(self, name) for name in ("proportion", "repeat", "choose") if getattr(self, name)}
        for name, values in amounts.items():
            if len(values) != len(self.synthetic):
                raise InputError(
                    f"--{name} is needed once for each --synthetic, found {len(values)} for {len(self.synthetic)}"
                )
        return [
            Synthetic(where, **{name: values[number] for name, values in amounts.items()})
            for number, where in enumerate(self.synthetic)
        ]


def read_synthetic(folder: str | Path) -> tuple[LabelledImages, Manifest]:
    """Reads a shard set after checking its bytes; `check_synthetic` says whether it may be mixed.

    Args:
        folder: A folder or URL.

    Raises:
        InputError: If there is no finished set.
        DamageError: If the set is damaged.
    """
    verify_set(folder)
    return read_set(folder)


def check_synthetic(
    folder: str | Path, images: LabelledImages, plan: SetPlan, splits: Splits, *, accepts_init: bool = False
) -> None:
    """Refuses a shard set that must not be mixed with `splits`, by its classes, its origin and its images.

    Args:
        folder: Where it is, for messages.
        images: Its images.
        plan: Its plan.
        splits: The real images.
        accepts_init: Whether its generator, and what curated it, may have begun as networks of other images.

    Raises:
        InputError: If classes or image sizes differ, or its generator or what curated it saw images that it must not
            have seen.
    """
    check_matches(splits.train, images.name, images.class_names, tuple(images.images.shape[1:]))
    _check_origin(str(folder), plan, splits.record, accepts_init=accepts_init)
    for kind, held in {
        "test": splits.are_test_images(images.images),
        "validation": splits.are_validation_images(images.images),
    }.items():
        if held.any():
            raise InputError(
                f"{folder} must not be used with this split: {int(held.sum())} of its {len(images)} images are {kind} "
                "images, pixel for pixel, whatever its generator's record says. Make a set with a generator that has "
                "not seen them."
            )


def open_sets_of(config: MixtureConfig, splits: Splits) -> list[Synthetic]:
    """The synthetic sets of some settings with their amounts, after checking their bytes and their origin.

    Raises:
        InputError: If amounts do not fit the sets, or a generator or what curated its set saw images that it must not
            have seen.
        DamageError: If a set is damaged, unless damage is skipped.
    """
    sets = config.sets()
    for one, where in zip(sets, config.synthetic, strict=True):
        if config.on_damage == "error":
            verify_set(where)
        plan = Manifest.read(where).plan
        _check_origin(str(one.images), plan, splits.record, accepts_init=config.accept_init)
    return sets


_SAME_SPLIT = "with the same --data, --split-seed and --fraction or --per-class-real"


def _check_origin(folder: str, plan: SetPlan, record: SplitRecord, *, accepts_init: bool) -> None:
    """Refuses a set if what drew it, or what chose among the images drawn, has seen images that are held out here."""

    def check(whose: str, split: SplitRecord, ancestors: tuple[SplitRecord, ...], remedy: str) -> None:
        foreign = [former for former in ancestors if former.source_fingerprint != record.source_fingerprint]
        if foreign and not accepts_init:
            raise InputError(
                f"{folder}: {whose} began as one of other images ({foreign[0].source}); nothing shows that they hold "
                "no validation or test images of this split. If you know that they do not, give --accept-init."
            )
        for trained_on in (split, *(former for former in ancestors if former not in foreign)):
            if reason := leak(trained_on, record, whose=whose):
                raise InputError(f"{folder} must not be used with this split: {reason}. {remedy}")

    generator = plan.generator
    remedy = f"Train a generator {_SAME_SPLIT}, and generate from it."
    check("its generator", generator.split, generator.ancestors, remedy)
    for judge in (curation.judge for curation in plan.curations):
        remedy = f"Curate it again {_SAME_SPLIT}."
        check("the classifier that curated it", judge.split, judge.ancestors, remedy)
