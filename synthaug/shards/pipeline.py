"""Makes shards side by side: while images are drawn, earlier ones are encoded and earlier shards written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from jaxtyping import UInt8
from torch import Tensor

from synthaug.core.console import progress
from synthaug.core.folders import Folder
from synthaug.shards.manifest import ShardRecord
from synthaug.shards.plan import SetPlan, ShardPlan
from synthaug.shards.resume import kept_images
from synthaug.shards.writer import encode_images, write_shard

#: Draws the images at some positions of the set, as uint8 on the CPU.
Draw = Callable[[range], UInt8[Tensor, "n c h w"]]
_ENCODERS = 2
#: Shards that may wait to be written while the next is drawn; bounds the memory.
_WAITING = 1


def publish_shards(folder: Folder, plan: SetPlan, numbers: Sequence[int], draw: Draw) -> dict[int, ShardRecord]:
    """Makes some shards of a set; images that stand there already, in a shorter shard, are kept.

    Args:
        folder: The set.
        plan: Its plan.
        numbers: Which shards.
        draw: Called with one batch of the plan after another.

    Returns:
        The manifest's entry of each shard, by number.

    Raises:
        StorageError: If the disk or store refuses; finished shards stay.
    """
    records: dict[int, ShardRecord] = {}
    waiting: deque[tuple[int, Future[ShardRecord]]] = deque()
    done, total = 0, sum(len(plan.shard(number)) for number in numbers)
    with (
        ThreadPoolExecutor(_ENCODERS) as encoders,
        ThreadPoolExecutor(1) as writer,
        progress(f"generating {plan.generator.model}", total) as advance,
    ):
        try:
            for number in numbers:
                shard = plan.shard(number)
                kept = kept_images(folder, shard)
                parts = []
                for batch in shard.batches():
                    if batch.stop > shard.start + len(kept):
                        parts.append((batch, encoders.submit(encode_images, draw(batch), plan.image_format)))
                    advance(done + min(batch.stop, shard.stop) - shard.start)
                done += len(shard)
                waiting.append((number, writer.submit(_publish, folder, shard, kept, parts)))
                if len(waiting) > _WAITING:
                    earlier, written = waiting.popleft()
                    records[earlier] = written.result()
            records |= {earlier: written.result() for earlier, written in waiting}
        except BaseException:
            for pool in (encoders, writer):
                pool.shutdown(wait=False, cancel_futures=True)
            raise
    return records


def _publish(
    folder: Folder, shard: ShardPlan, kept: list[bytes], parts: list[tuple[range, Future[list[bytes]]]]
) -> ShardRecord:
    wanted = range(shard.start + len(kept), shard.stop)
    new = [image for batch, part in parts for place, image in zip(batch, part.result(), strict=True) if place in wanted]
    return write_shard(folder, shard, kept + new)
