"""What the shard engine costs: writing and reading beside webdataset, memory and time from 10 k to 1 M samples.

    python benchmarks/bench_shards.py [--images FOLDER] [--largest 1000000]

Both sides of a ratio handle the same images, one after the other in every round. Without --images, the pictures are
smooth random ones, which compress like small photographs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from harness import interleaved, rate, ratio, unmade_plan, write_result

from synthaug.core.folders import folder_at
from synthaug.core.pixels import from_pil, to_pil, to_storage
from synthaug.core.seeding import generator_for
from synthaug.data.sources import load_source
from synthaug.shards.find import ShardFile
from synthaug.shards.pipeline import publish_shards
from synthaug.shards.reader import iterate_shard
from synthaug.shards.writer import encode_images

COUNT, SHARD, ROUNDS = 4000, 1000, 7
SCALES = (10_000, 30_000, 100_000, 300_000, 1_000_000)


def pictures(folder: str | None) -> torch.Tensor:
    """`COUNT` RGB pictures of 32x32 pixels."""
    if folder is not None:
        return load_source(f"imagefolder:{folder}").train.images[:: 50_000 // COUNT][:COUNT]
    generator = generator_for("benchmark pictures")
    coarse = torch.randn(COUNT, 3, 8, 8, generator=generator)
    fine = 0.05 * torch.randn(COUNT, 3, 32, 32, generator=generator)
    return to_storage(0.5 * F.interpolate(coarse, size=32, mode="bicubic") + fine)


def write_ours(images: torch.Tensor, folder: Path) -> None:
    """Our writer, as `generate` drives it, with a generator that costs nothing."""
    plan = unmade_plan(len(images), size=32, channels=3, shard_size=SHARD)
    publish_shards(folder_at(folder), plan, range(plan.shard_count), lambda batch: images[batch.start : batch.stop])


def write_webdataset(images: torch.Tensor, folder: Path) -> None:
    """The writer of webdataset, which encodes with Pillow."""
    from webdataset import ShardWriter

    plan = unmade_plan(len(images), size=32, channels=3, shard_size=SHARD)
    folder.mkdir(parents=True, exist_ok=True)
    with ShardWriter(f"{folder}/train-%06d.tar", maxcount=SHARD, verbose=0) as writer:
        for position, image in enumerate(images):
            label, index = plan.sample(position)
            sample = {"class": plan.class_names[label], "label": label, "index": index, "seed": 0, "model": "noise"}
            writer.write({"__key__": f"{position:010d}", "png": to_pil(image), "cls": label, "json": sample})


def encode_only(images: torch.Tensor) -> None:
    """The limit: encoding alone, in one thread."""
    for batch in images.split(250):
        encode_images(batch, "png")


def read_ours(folder: Path) -> None:
    """Decodes every image and class with our reader."""
    for path in sorted(folder.glob("*.tar")):
        shard = ShardFile.at(path)
        for sample in iterate_shard(shard):
            from_pil(sample.decode(shard), 3), sample.label


def read_webdataset(folder: Path) -> None:
    """Decodes the same with webdataset, to uint8 arrays."""
    import webdataset

    names = [str(path) for path in sorted(folder.glob("*.tar"))]
    for _ in webdataset.WebDataset(names, shardshuffle=False).decode("rgb8").to_tuple("png", "cls"):
        pass


def scale(count: int) -> dict[str, float]:
    """Writes a set of noise, finishes it, and streams it back, in a process of its own."""
    command = [sys.executable, __file__, "--point", str(count)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this very file
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    print(found)
    return found


def peak_rss() -> float:
    """The most memory this process has had, in MiB."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return round(int(line.split()[1]) / 1024, 1)


def point(count: int, folder: str) -> None:
    """One point of the scale; prints seconds and peak memory."""
    from synthaug.core.console import stderr
    from synthaug.shards.dataset import ShardDataset
    from synthaug.shards.finish import finish_set
    from synthaug.shards.manifest import write_plan
    from synthaug.shards.verify import verify_set

    stderr.quiet = True
    torch.set_num_threads(1)
    plan = unmade_plan(count, size=8, channels=3, shard_size=SHARD)
    place = folder_at(folder)
    write_plan(place, plan)
    generator = generator_for("noise")

    def draw(positions: range) -> torch.Tensor:
        return torch.randint(0, 256, (len(positions), 3, 8, 8), dtype=torch.uint8, generator=generator)

    before = peak_rss()
    seconds = {}
    started = time.perf_counter()
    records = publish_shards(place, plan, range(plan.shard_count), draw)
    finish_set(place, plan, records)
    seconds["write"] = time.perf_counter() - started
    started = time.perf_counter()
    verify_set(folder)
    seconds["verify"] = time.perf_counter() - started
    started = time.perf_counter()
    read = sum(1 for _ in ShardDataset(folder))
    seconds["read"] = time.perf_counter() - started
    if read != count:
        raise SystemExit(f"{read} of {count} samples came back")
    size = sum(record.bytes for record in records.values())
    memory = {"start_rss_mib": before, "peak_rss_mib": peak_rss()}
    print(json.dumps({"samples": count, **memory, "bytes": size, **seconds}))


def main() -> None:
    """Measures and writes results/bench_shards.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", help="folder of class folders with 32x32 images")
    parser.add_argument("--largest", type=int, default=SCALES[-1], help="largest set of the scale")
    parser.add_argument("--point", type=int, help="measure only a set of so many samples, and print it")
    arguments = parser.parse_args()
    if arguments.point:
        with tempfile.TemporaryDirectory() as folder:
            point(arguments.point, folder)
        return
    images = pictures(arguments.images)
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = Path(name) / "ours", Path(name) / "theirs"
        seconds = interleaved(
            {
                "write": lambda: write_ours(images, ours),
                "write_webdataset": lambda: write_webdataset(images, theirs),
                "encode_only": lambda: encode_only(images),
                "read": lambda: read_ours(ours),
                "read_webdataset": lambda: read_webdataset(ours),
            },
            ROUNDS,
        )
        sizes = {side.name: sum(path.stat().st_size for path in side.glob("*.tar")) for side in (ours, theirs)}
        shutil.rmtree(ours)
    points = [scale(count) for count in SCALES if count <= arguments.largest]
    small, large = points[0], points[-1]
    figures = {
        "write_images_per_second": rate(COUNT, seconds["write"]),
        "write_vs_webdataset_ratio": ratio(seconds["write_webdataset"], seconds["write"]),
        "write_vs_encoder_limit": ratio(seconds["encode_only"], seconds["write"]),
        "read_images_per_second": rate(COUNT, seconds["read"]),
        "read_vs_webdataset_ratio": ratio(seconds["read_webdataset"], seconds["read"]),
        "bytes_vs_webdataset": round(sizes["ours"] / sizes["theirs"], 3),
        "largest_set": large["samples"],
        "peak_rss_1m_vs_10k_ratio": round(large["peak_rss_mib"] / small["peak_rss_mib"], 3),
        **{
            f"{what}_microseconds_per_sample_at_{found['samples']}": round(1e6 * found[what] / found["samples"], 1)
            for what in ("write", "verify", "read")
            for found in points
        },
    }
    source = "CIFAR-10 (JPEG q75)" if arguments.images else "smooth random pictures"
    method = (
        f"{COUNT} RGB images of 32x32 ({source}) in shards of {SHARD}: median over {ROUNDS} interleaved rounds. write: "
        "our pipeline (two encoding threads) with a generator that costs nothing, fsync included, against webdataset's "
        "ShardWriter with Pillow and a shorter JSON; the encoder limit is encoding alone in one thread. read: "
        "every image decoded to uint8, both from our shards. Scale: 8x8 noise, one process per point; write includes "
        "the manifest."
    )
    write_result("bench_shards", method, figures, {"seconds": seconds, "bytes": sizes, "scale": points})


if __name__ == "__main__":
    main()
