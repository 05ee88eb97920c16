"""What mixed, augmented training batches cost: our loader beside webdataset, ImageFolder, litdata and a resident limit.

    python benchmarks/bench_loader.py [--images FOLDER] [--peers PYTHON] [--count 20000] [--rounds 5]

Every side gives batches of 128 images, half of them synthetic, padded by 4 and cropped, mirrored and normalised, as
float32; nothing is done with them. Other libraries are served by processes of the interpreter `--peers`, whose
environment needs torch, torchvision, webdataset and, to be measured, litdata; but not synthaug. All sides take turns in
every round. Without --images, the pictures are smooth random ones, which compress like small photographs.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:  # synthaug, and the harness that needs it, are not there where other libraries are served
    from synthaug.core.types import LabelledImages
    from synthaug.data.loader import MixedLoader
    from synthaug.data.mixture import Mixture, SyntheticImages
    from synthaug.data.splits import Splits
    from synthaug.shards.plan import SetPlan

COUNT, BATCH, WORKERS, THREADS, ROUNDS = 20_000, 128, 2, 2, 5
#: Quick sides take so many epochs in a turn, and so many turns among themselves for each round with the slow ones.
QUICK_EPOCHS, QUICK_TURNS = 4, 30
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
PARTS = ("real", "synthetic")


# Other libraries, each in the way its documentation shows; without synthaug.


def sample_transform() -> Callable[[Any], torch.Tensor]:
    """Augmentation of one PIL image: torchvision's first transforms, which take less time here than its second."""
    from torchvision import transforms

    return transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, DEVIATION),
        ]
    )


def webdataset_batches(data: Path) -> Iterable[Any]:
    """Two streams of shards, decoded and augmented image by image, mixed at random until both have ended."""
    import webdataset

    transform = sample_transform()
    streams = [
        webdataset.WebDataset([str(path) for path in sorted((data / part).glob("*.tar"))], shardshuffle=100)
        .shuffle(1000)
        .decode("pil")
        .to_tuple("png", "cls")
        .map_tuple(transform, int)
        for part in PARTS
    ]
    mixed = webdataset.RandomMix(streams, longest=True)
    return webdataset.WebLoader(mixed, batch_size=BATCH, num_workers=WORKERS, persistent_workers=True)


def imagefolder_batches(data: Path) -> Iterable[Any]:
    """Two folders of PNG files, one after the other in one data set, shuffled."""
    from torch.utils.data import ConcatDataset, DataLoader
    from torchvision.datasets import ImageFolder

    folders = [ImageFolder(str(data / f"{part}-files"), sample_transform()) for part in PARTS]
    return DataLoader(
        ConcatDataset(folders), batch_size=BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True
    )


def litdata_batches(data: Path) -> Iterable[Any]:
    """Two optimised data sets, in whose chunks pixels lie uncompressed, mixed at random until both have ended."""
    # Before anything else: optimize() deletes what lies in these folders, and would take $TMPDIR/data and /chunks.
    os.environ["DATA_OPTIMIZER_CACHE_FOLDER"] = str(data / "litdata-cache" / "chunks")
    os.environ["DATA_OPTIMIZER_DATA_CACHE_FOLDER"] = str(data / "litdata-cache" / "data")
    import litdata

    transform = sample_transform()
    streams = []
    for part in PARTS:
        chunks = data / f"{part}-litdata"
        files = sorted((data / f"{part}-files").rglob("*.png"))
        litdata.optimize(pixels_of, [str(path) for path in files], str(chunks), chunk_bytes="16MB", num_workers=WORKERS)
        augment = functools.partial(augmented, transform)
        streams.append(litdata.StreamingDataset(str(chunks), shuffle=True, transform=augment))
    mixed = litdata.CombinedStreamingDataset(streams)
    return litdata.StreamingDataLoader(mixed, batch_size=BATCH, num_workers=WORKERS, persistent_workers=True)


def pixels_of(path: str) -> dict[str, Any]:
    """What litdata stores of an image."""
    from PIL import Image

    return {"image": Image.open(path).convert("RGB"), "label": CLASSES.index(Path(path).parent.name)}


def augmented(transform: Callable[[Any], torch.Tensor], sample: dict[str, Any]) -> tuple[torch.Tensor, int]:
    """What comes out of litdata for an image."""
    return transform(sample["image"]), sample["label"]


PEERS = {"webdataset": webdataset_batches, "imagefolder": imagefolder_batches, "litdata": litdata_batches}


def serve(name: str, data: Path) -> None:
    """Takes an epoch of batches for every line on stdin, and says on stdout how many images it had."""
    batches = PEERS[name](data)
    print("ready", flush=True)
    for _ in sys.stdin:
        count = 0
        for images, _labels in batches:
            check(images)
            count += len(images)
        print(f"took {count}", flush=True)


def check(images: torch.Tensor) -> None:
    """Refuses a batch that is not what all sides must give."""
    if images.dtype != torch.float32 or images.shape[1:] != (3, 32, 32):
        raise SystemExit(f"float32 batches of 3x32x32 are needed, found {images.dtype} {tuple(images.shape)}")


class Peer:
    """A process that serves one library's batches."""

    def __init__(self, python: str, name: str, data: Path) -> None:
        command = [python, __file__, "--serve", name, "--data", str(data)]
        environment = {**os.environ, "HOME": str(data), "TMPDIR": str(data)}  # where litdata keeps and clears caches
        self._process = subprocess.Popen(  # noqa: S603 - this very file
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._answer("ready")

    def epoch(self) -> int:
        """Has it take an epoch; the number of images."""
        if self._process.stdin is None:
            raise SystemExit("the process has no stdin")
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return int(self._answer("took "))

    def _answer(self, start: str) -> str:
        for line in self._process.stdout or ():
            if line.startswith(start):
                return line.removeprefix(start)
        raise SystemExit(f"{self._process.args} ended with {self._process.wait()}")

    def close(self) -> None:
        """Ends it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()


@contextlib.contextmanager
def served(python: str, data: Path) -> Iterator[dict[str, Peer]]:
    """One process for each library that the interpreter has."""
    peers = {name: Peer(python, name, data) for name in PEERS if name == "imagefolder" or has(python, name)}
    try:
        yield peers
    finally:
        for peer in peers.values():
            peer.close()


def has(python: str, module: str) -> bool:
    """Whether an interpreter can import a module."""
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0  # noqa: S603


# The limit.


class ResidentLoader:
    """Everything done beforehand or for all images at once, as airbench's loader does it.

    Images lie in memory normalised, padded and half of them mirrored. An epoch crops all of them in one operation, into
    memory it has already; every other epoch mirrors all of them, if `mirrors`; batches are slices of a permutation. It
    mixes nothing, keeps no account of what is in a batch, mirrors no image at random, and needs 10 times the memory of
    the pixels.
    """

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, device: str, *, mirrors: bool) -> None:
        images, labels = images.to(device), labels.to(device)
        mean, deviation = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (MEAN, DEVIATION))
        normalised = images.float().div_(255).sub_(mean).div_(deviation)
        is_mirrored = torch.rand(len(images), device=device) < 0.5
        normalised[is_mirrored] = normalised[is_mirrored].flip(-1)
        self._padded = F.pad(normalised, (4,) * 4)
        self._cropped, self._labels, self._epoch, self._mirrors = normalised, labels, 0, mirrors

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        cropped = self._cropped
        count, channels, size, _ = cropped.shape
        width, area, where = size + 8, (size + 8) ** 2, {"device": cropped.device}
        top, left = torch.randint(0, 9, (2, count), **where)
        first = torch.arange(count, **where) * channels * area + top * width + left
        rows = torch.arange(0, channels * area, area, **where)[:, None] + torch.arange(0, size * width, width, **where)
        starts = (first[:, None] + rows.flatten()).flatten()
        torch.index_select(self._padded.flatten().unfold(0, size, 1), 0, starts, out=cropped.view(-1, size))
        if self._mirrors and self._epoch % 2 == 1:
            cropped = cropped.flip(-1)
        self._epoch += 1
        for indices in torch.randperm(count, **where)[: count - count % BATCH].split(BATCH):
            yield cropped.index_select(0, indices), self._labels.index_select(0, indices)


# Our side.


def pictures(folder: str | None, count: int) -> torch.Tensor:
    """RGB pictures of 32x32 pixels, of each class in turn."""
    from synthaug.core.pixels import decode_image, from_pil, to_storage
    from synthaug.core.seeding import generator_for

    if folder is None:
        generator = generator_for("benchmark pictures")
        coarse = torch.randn(count, 3, 8, 8, generator=generator)
        fine = 0.05 * torch.randn(count, 3, 32, 32, generator=generator)
        return to_storage(0.5 * F.interpolate(coarse, size=32, mode="bicubic") + fine)
    folders = sorted(path for path in Path(folder).iterdir() if path.is_dir())
    each = -(-count // len(folders))
    files = [sorted(path for path in one.iterdir() if path.is_file())[:each] for one in folders]
    if (found := min(map(len, files))) < each:
        raise SystemExit(f"{folder}: {each} images of each class are needed, found {found}; give a smaller --count")
    turns = [path for turn in zip(*files, strict=True) for path in turn][:count]
    formats = ("PNG", "JPEG")
    decoded = (decode_image(path.read_bytes(), name=str(path), formats=formats) for path in turns)
    return torch.stack([from_pil(picture, 3) for picture in decoded])


def labelled(images: torch.Tensor, name: str) -> LabelledImages:
    """Pictures with each class in turn."""
    from synthaug.core.types import LabelledImages

    return LabelledImages.of(images, torch.arange(len(images)) % len(CLASSES), CLASSES, name)


def plan_of(count: int) -> SetPlan:
    """The plan of a set that no network makes."""
    from harness import unmade_plan

    shard_size = min(1000, -(-count // 4))  # each worker of webdataset needs shards of its own
    return unmade_plan(count, size=32, channels=3, shard_size=shard_size)


def write_data(images: LabelledImages, part: str, data: Path) -> None:
    """A finished set of shards, and the same files in class folders."""
    from synthaug.core.folders import folder_at
    from synthaug.shards.finish import finish_set
    from synthaug.shards.manifest import write_plan
    from synthaug.shards.pipeline import publish_shards
    from synthaug.shards.writer import encode_images

    plan, place, count = plan_of(len(images)), folder_at(data / part), len(images)
    place.prepare()
    write_plan(place, plan)
    numbers = range(plan.shard_count)
    records = publish_shards(place, plan, numbers, lambda batch: images.images[torch.tensor(batch) % count])
    finish_set(place, plan, records)
    for name in CLASSES:
        (data / f"{part}-files" / name).mkdir(parents=True)
    for index, picture in enumerate(encode_images(images.images, "png")):
        (data / f"{part}-files" / CLASSES[images.labels[index]] / f"{index:06d}.png").write_bytes(picture)


def splits_of(images: LabelledImages) -> Splits:
    """These images to train on; nothing to speak of is held out."""
    from synthaug.data.splits import Splits

    few = images.take(torch.arange(len(CLASSES)))
    return Splits(images, few, few, plan_of(len(images)).generator.split, allows_flip=True)


def mixture(**settings: Any) -> Mixture:
    """Every real image once in an epoch and as many synthetic ones, normalised as on the other sides."""
    from synthaug.data.mixture import Mixture

    return Mixture(mode="add", batch_size=BATCH, transform="basic", normalise=True, workers=WORKERS, **settings)


def loaders(
    real: LabelledImages, synthetic: LabelledImages, data: Path, device: str
) -> dict[str, MixedLoader | ResidentLoader]:
    """Our loaders and the limit; all hold the same number of images and give as many in an epoch."""
    from synthaug.data.loader import mixed_loader

    def ours(images: LabelledImages, sets: SyntheticImages | list[LabelledImages] | None, loading: Any) -> MixedLoader:
        return mixed_loader(splits_of(images), sets, mixture(loading=loading), device=device)

    both, labels = torch.cat([real.images, synthetic.images]), torch.cat([real.labels, synthetic.labels])
    parts = [synthetic.take(part) for part in torch.arange(len(synthetic)).chunk(8)]
    return {
        "memory": ours(real, data / "synthetic", "memory"),
        "streaming": ours(real, data / "synthetic", "streaming"),
        "real_only": ours(labelled(both, "real"), None, "memory"),
        "sources_1": ours(real, synthetic, "memory"),
        "sources_8": ours(real, parts, "memory"),
        "resident": ResidentLoader(both, labels, device, mirrors=True),
        "resident_unmirrored": ResidentLoader(both, labels, device, mirrors=False),
    }


def epoch(batches: Iterable[Any]) -> int:
    """Takes an epoch of batches; the number of images."""
    count = 0
    for images, *_ in batches:
        check(images)
        count += len(images)
    if count and images.is_cuda:
        torch.cuda.synchronize()
    return count


# Memory.


def measure(loading: str, data: Path) -> None:
    """Prints what real images, an open mixture and one epoch add to this process, which has already run a small one."""
    import numpy as np

    from synthaug.data.loader import mixed_loader

    torch.set_num_threads(THREADS)
    few = labelled(torch.zeros(BATCH, 3, 32, 32, dtype=torch.uint8), "few")
    epoch(mixed_loader(splits_of(few), few, mixture(loading="memory")))
    before = resident_mib()
    real = labelled(torch.from_numpy(np.load(data / "real.npy")), "real")
    loader = mixed_loader(splits_of(real), data / "synthetic", mixture(loading=loading))
    highest: dict[str, float] = {}
    for number, _ in enumerate(loader):
        if number % 16 == 0:
            now = resident_mib()
            highest = {name: max(now[name], highest.get(name, 0.0)) for name in now}
    after = resident_mib()
    found = {name: round(after[name] - before[name], 1) for name in after}
    print(json.dumps({**found, "peak": round(highest["with_workers"] - before["with_workers"], 1)}))


def resident_mib() -> dict[str, float]:
    """Memory of this process, its own and mapped files'; and with its workers, shared pages counted once."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, mapped = (int(fields[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    shares = (proportional_mib(process) for process in ["self", *children])
    return {"anonymous": own, "mapped": mapped, "with_workers": sum(shares)}


def proportional_mib(process: str) -> float:
    """Memory of a process; of pages that it shares with others, its part. 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def measured(loading: str, data: Path) -> dict[str, float]:
    """The same of a fresh process."""
    command = [sys.executable, __file__, "--measure", loading, "--data", str(data)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - this very file
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def take_turns(sides: dict[str, Callable[[], int]], rounds: int, epochs: dict[str, int]) -> dict[str, list[float]]:
    """Seconds per image of each side in every round."""
    from harness import interleaved

    counts: dict[str, int] = {}

    def turn(name: str) -> None:
        counts[name] = sum(sides[name]() for _ in range(epochs.get(name, 1)))

    seconds = interleaved({name: lambda name=name: turn(name) for name in sides}, rounds, is_shuffled=True)
    return {name: [one / counts[name] for one in seconds[name]] for name in sides}


def bench(arguments: argparse.Namespace, data: Path) -> None:
    """Measures and writes results/bench_loader.json."""
    import numpy as np
    from harness import rate, ratio, write_result

    from synthaug.core.console import stderr
    from synthaug.data.pools import decoded_bytes

    stderr.quiet = True
    torch.set_num_threads(arguments.threads)
    count = arguments.count
    real, synthetic = (
        labelled(part, name) for part, name in zip(pictures(arguments.images, 2 * count).chunk(2), PARTS, strict=True)
    )
    np.save(data / "real.npy", real.images.numpy())
    for part, images in zip(PARTS, (real, synthetic), strict=True):
        write_data(images, part, data)
    estimated = decoded_bytes(plan_of(count)) + 2 * real.images.nbytes
    mixed = loaders(real, synthetic, data, arguments.device)
    memory = {loading: measured(loading, data) for loading in ("memory", "streaming")}
    ours = {name: lambda loader=loader: epoch(loader) for name, loader in mixed.items()}
    quick = [name for name in ours if name != "streaming"]
    with served(arguments.peers, data) as peers:
        sides = {name: ours[name] for name in ("memory", "streaming")} | {name: peers[name].epoch for name in peers}
        slow = take_turns(sides, arguments.rounds, {"memory": QUICK_EPOCHS})
    twice = dict.fromkeys(quick, 2)  # the resident limit mirrors in every other epoch
    fast = take_turns({name: ours[name] for name in quick}, QUICK_TURNS * arguments.rounds, twice)
    figures = {
        **{
            f"{ours}_vs_{peer}_ratio": ratio(slow[peer], slow[ours])
            for peer in peers
            for ours in ("memory", "streaming")
        },
        "memory_vs_resident_ratio": ratio(fast["resident"], fast["memory"]),
        "memory_vs_resident_unmirrored_ratio": ratio(fast["resident_unmirrored"], fast["memory"]),
        "mixing_overhead_ratio": ratio(fast["memory"], fast["real_only"]),
        "sources_8_vs_1_ratio": ratio(fast["sources_8"], fast["sources_1"]),
        **{f"{name}_images_per_second": rate(1, seconds) for name, seconds in (slow | fast).items()},
        "estimated_memory_mib": round(estimated / 2**20, 1),
        "measured_memory_mib": memory["memory"]["anonymous"],
        "measured_mapped_mib": memory["memory"]["mapped"],
        "streaming_memory_mib": memory["streaming"]["anonymous"],
        "streaming_with_workers_memory_mib": memory["streaming"]["peak"],
    }
    source = "CIFAR-10 (JPEG q75)" if arguments.images else "smooth random pictures"
    method = (
        f"Batches of {BATCH} float32 images of 32x32 RGB ({source}), half real and half synthetic, padded by 4, "
        f"cropped, mirrored and normalised; {count} real and {count} synthetic images, each once in an epoch. Ratios "
        "are medians over rounds in which all sides take turns in random order, after a round that is not counted: "
        f"{arguments.rounds} rounds with all libraries, {QUICK_TURNS * arguments.rounds} of two epochs of what is in "
        f"memory. Ours, memory, and the resident limit: this process, {arguments.threads} threads. Ours, streaming "
        f"(PNG shards; workers start anew every epoch), and the other libraries: {WORKERS} workers, persistent there; "
        "there torchvision's transforms (v1) on PIL images, from the same shards (webdataset, RandomMix), the same PNG "
        "files (ImageFolder) and uncompressed pixels (litdata). Resident, as airbench does it: all images normalised, "
        "padded and half of them mirrored beforehand, cropped for a whole epoch at once and all mirrored in every "
        "other epoch (or never: unmirrored), batches by slices of a permutation. Mixing overhead: half synthetic "
        "against as many images held that are all real. "
        "Memory, the set decoded in the cache before: growth of a process that has run a small mixture before, by the "
        "real images (estimated twice: as they are, and beside the set), an open mixture and an epoch; mapped is the "
        "decoded set's file in the cache, which the system can take back; with workers: the highest sum of "
        "proportional set sizes in the epoch."
    )
    seconds = {"all": slow, "in_memory": fast}
    name = "bench_loader" if arguments.device == "cpu" else f"bench_loader_{arguments.device}"
    write_result(name, method, figures, {"seconds_per_image": seconds, "memory_mib": memory})


def main() -> None:
    """Measures, or serves and measures on behalf of a process that does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", help="folder of ten class folders with 32x32 images")
    parser.add_argument("--peers", default=sys.executable, help="interpreter with the other libraries")
    parser.add_argument("--count", type=int, default=COUNT, help="real images, and as many synthetic ones")
    parser.add_argument("--device", default="cpu", help="where our batches and the resident limit's are made")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=THREADS, help="threads of this process")
    parser.add_argument("--serve", choices=list(PEERS), help="serve one library's batches")
    parser.add_argument("--measure", choices=["memory", "streaming"], help="print what memory an epoch takes")
    parser.add_argument("--data", type=Path, help="where the data of --serve and --measure lie")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.data)
    elif arguments.measure:
        measure(arguments.measure, arguments.data)
    else:
        if arguments.count < BATCH or arguments.count % len(CLASSES):
            raise SystemExit(f"--count must be a multiple of {len(CLASSES)} and at least {BATCH}")
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SYNTHAUG_HOME"] = str(Path(folder) / "home")
            bench(arguments, Path(folder))


if __name__ == "__main__":
    main()
