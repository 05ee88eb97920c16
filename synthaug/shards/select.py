"""Writes a curated set: the chosen samples of another set, each image the same bytes as there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from synthaug.core.console import progress
from synthaug.core.errors import InputError
from synthaug.core.folders import Folder, folder_at
from synthaug.shards.curation import Positions, Scores
from synthaug.shards.find import promised_shards
from synthaug.shards.finish import finish_set
from synthaug.shards.index import set_key
from synthaug.shards.manifest import MANIFEST_NAME, PLAN_NAME, Manifest, ShardRecord, write_plan
from synthaug.shards.plan import SetPlan
from synthaug.shards.reader import iterate_shard
from synthaug.shards.verify import check_described, damage_error, find_damage
from synthaug.shards.writer import write_shard


def write_selection(
    folder: Folder,
    source: Folder | str | Path,
    plan: SetPlan,
    positions: Sequence[int],
    scores: Sequence[Scores],
) -> Manifest:
    """Writes the samples at some positions of a finished set as a set of their own.

    All shards of the source are checked before anything is written. Then they are read in order; never more than the
    images chosen from one of them, and those of one new shard, are in memory.

    Args:
        folder: An empty folder for the new set.
        source: The set to choose from: its folder, or its path or URL.
        plan: `selected` of the source's plan, with these positions.
        positions: Which samples of the source, ascending.
        scores: What was measured of each of them.

    Returns:
        The manifest of the new set.

    Raises:
        InputError: If the source is unfinished or missing, or the folder holds a set.
        DamageError: If the shards of the source are not those that its manifest promises, or a chosen sample is not
            what its plan says.
        StorageError: If the disk or store refuses; there is no manifest then.
        ValueError: If the plan is not that of these positions of this source.
    """
    origin = folder_at(source) if isinstance(source, str | Path) else source
    manifest = Manifest.read(origin)
    if not plan.is_curated or plan.curations[-1].source != set_key(manifest):
        raise ValueError("the plan is not one of a selection from this set")
    if plan != manifest.plan.selected(positions, plan.curations[-1]):
        raise ValueError("the plan is not one of these positions")
    if len(scores) != plan.sample_count:
        raise ValueError(f"{plan.sample_count} samples need as many scores, found {len(scores)}")
    if folder.has(PLAN_NAME) or folder.has(MANIFEST_NAME):
        raise InputError(f"{folder} holds a shard set already; choose another folder")
    if damaged := find_damage(origin, manifest):
        raise damage_error(origin, damaged, manifest.plan)
    folder.prepare()
    write_plan(folder, plan)
    images = _chosen_images(origin, manifest, np.asarray(positions, dtype=np.int64))
    records: dict[int, ShardRecord] = {}
    with progress("writing the selection", plan.sample_count) as advance:
        for shard in plan.shards():
            files = list(itertools.islice(images, len(shard)))
            records[shard.number] = write_shard(folder, shard, files, scores[shard.start : shard.stop])
            advance(shard.stop)
    finish_set(folder, plan, records)
    return Manifest.read(folder)


def _chosen_images(folder: Folder, manifest: Manifest, positions: Positions) -> Iterator[bytes]:
    """The image files at some positions, which are found to be those of the plan."""
    plan = manifest.plan
    for shard, file in zip(plan.shards(), promised_shards(folder, manifest), strict=True):
        first, last = np.searchsorted(positions, (shard.start, shard.stop)).tolist()
        if first == last:
            continue
        wanted, samples = set((positions[first:last] - shard.start).tolist()), shard.samples
        images = []
        for number, sample in enumerate(iterate_shard(file)):
            if number in wanted:
                check_described(file, sample, plan, shard.key(number), samples[number], manifest.format)
                images.append(sample.image)
        yield from images
