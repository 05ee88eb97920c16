"""How a set is continued, made longer or replaced: what stays in its folder, and what is still to be made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from synthaug.core.errors import DamageError, InputError, SynthaugError
from synthaug.core.folders import Folder
from synthaug.core.storage import check_same_settings
from synthaug.shards.find import ShardFile
from synthaug.shards.finish import FINISHING_NAMES, missing_shards
from synthaug.shards.manifest import FORMER_FORMAT, MANIFEST_NAME, PLAN_NAME, Manifest, read_plan, write_plan
from synthaug.shards.plan import SetPlan, ShardPlan
from synthaug.shards.reader import iterate_shard
from synthaug.shards.verify import ShardDamage, check_contents, damage_error, differs

Mode = Literal["incremental", "extend", "overwrite"]


def existing_plan(folder: Folder, *, is_to_go: bool = False) -> SetPlan | None:
    """The plan of the set in an output folder; None if the folder is empty.

    Args:
        folder: The output folder.
        is_to_go: Whether the set will be replaced, so that its plan does not matter: gives None.

    Raises:
        InputError: If it holds something else.
        DamageError: If the plan cannot be read.
    """
    plan = None
    if not folder.has(PLAN_NAME):
        with contextlib.suppress(SynthaugError):  # Other programs have a manifest.json, too.
            plan = Manifest.read(folder).plan
    if plan is None:
        folder.check(marker=PLAN_NAME, kind="shard set")
    if is_to_go:
        return None
    return plan or read_plan(folder)


def check_continues(folder: Folder, before: SetPlan, plan: SetPlan, mode: Mode) -> None:
    """Refuses a plan that does not go together with the set that is there.

    Raises:
        InputError: Naming the first setting that differs; or if the set is curated, or has a former format and would
            get other shards than it has.
    """
    if before.is_curated:
        raise InputError(
            f"the set in {folder} is curated, a selection from another set, which generate cannot continue: replace it "
            "with --mode overwrite, or choose another folder"
        )
    wanted = plan
    if mode == "extend":
        if plan.per_class < before.per_class:
            raise InputError(
                f"--mode extend keeps what is there: --per-class must be at least {before.per_class}, found "
                f"{plan.per_class}"
            )
        plan = plan.model_copy(update={"per_class": before.per_class})
    check_same_settings(
        before.model_dump(),
        plan.model_dump(),
        f"the set in {folder}",
        "Repeat its settings to continue it, add to it with --mode extend and a larger --per-class, replace it with "
        "--mode overwrite, or choose another folder.",
    )
    if _has_former_format(folder) and (wanted != before or missing_shards(folder, wanted)):
        raise InputError(
            f"the set in {folder} has format {FORMER_FORMAT}, which this version does not add to: make all of it again "
            "with --mode overwrite, or choose another folder"
        )


def _has_former_format(folder: Folder) -> bool:
    with contextlib.suppress(SynthaugError):
        return Manifest.read(folder).format == FORMER_FORMAT
    return False


@dataclass(frozen=True)
class Work:
    """What is still to be made of a set.

    Attributes:
        shards: Numbers of the shards that are to be made, or made longer.
        images: Images that are to be drawn for them.
        checked: Numbers of the shards that were found to be what the plan says.
        is_finished: Whether there is nothing left to do at all.
    """

    shards: list[int]
    images: int
    checked: frozenset[int] = frozenset()
    is_finished: bool = False


def prepare_folder(folder: Folder, plan: SetPlan, chosen: Sequence[int], *, is_new: bool) -> Work:
    """Makes a folder ready for work on a set.

    Args:
        folder: The set.
        plan: What it is to become.
        chosen: Numbers of the shards to care for.
        is_new: Whether to take away the set that is there.

    Raises:
        DamageError: If a shard is not what the manifest, or without one the plan, says.
    """
    folder.prepare()
    if is_new:
        folder.remove(MANIFEST_NAME)  # First: it would promise shards that are not there.
        for name in folder.names():
            if name.startswith("train-") and name.endswith(".tar"):
                folder.remove(name)
    present = set(folder.names())
    shards = [plan.shard(number) for number in chosen]
    kept = _kept_samples(folder, plan, [shard for shard in shards if shard.file_name in present])
    to_make = {shard.number: lacking for shard in shards if (lacking := len(shard) - kept.get(shard.number, 0))}
    if not to_make and read_plan(folder) == plan and folder.has(MANIFEST_NAME):
        return Work([], 0, is_finished=True)
    folder.remove(MANIFEST_NAME)
    for name in FINISHING_NAMES:  # They would describe another set.
        folder.remove(name)
    write_plan(folder, plan)
    return Work(list(to_make), sum(to_make.values()), checked=frozenset(kept.keys() - to_make.keys()))


def kept_images(folder: Folder, shard: ShardPlan) -> list[bytes]:
    """The image files of a shard that stands there shorter than it is to become; none if it does not."""
    if not folder.has(shard.file_name):
        return []
    return [sample.image for sample in iterate_shard(ShardFile(folder, shard.file_name))]


def _kept_samples(folder: Folder, plan: SetPlan, kept: Iterable[ShardPlan]) -> dict[int, int]:
    """Samples in each shard: fewer than planned if the set was smaller when it was made."""
    records = {}
    with contextlib.suppress(InputError):  # None, or gone since: another job of the array has begun to work.
        records = {record.name: record for record in Manifest.read(folder).shards}
    damaged: list[ShardDamage] = []
    samples = {}
    for shard in kept:
        record = records.get(shard.file_name)
        reason = None if record is None else differs(folder, record)
        if reason is not None:
            damaged.append(ShardDamage(shard.file_name, reason))
        else:
            samples[shard.number] = _samples(folder, shard) if record is None else record.samples
    if damaged:
        raise damage_error(folder, damaged, plan)
    return samples


def _samples(folder: Folder, shard: ShardPlan) -> int:
    try:
        return check_contents(folder, shard)
    except DamageError as error:
        raise DamageError(f"{error}. Delete this shard and run the same command again.") from error
