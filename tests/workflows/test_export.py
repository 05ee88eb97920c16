import fcntl
import io
import json
import os
import signal
import sys
import tarfile
import tracemalloc
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.datasets import ImageFolder

from synthaug.cli.main import main
from synthaug.core.console import stderr
from synthaug.core.errors import DamageError, InputError, StorageError
from synthaug.core.folders import folder_at
from synthaug.core.pixels import encode_png, to_pil
from synthaug.data.sources import load_source
from synthaug.shards.curation import Scores
from synthaug.shards.reader import ShardSample, iterate_shard, read_set
from synthaug.workflows.export import ExportConfig, ExportResult, export
from synthaug.workflows.export.imagefolder import class_folder, safe_name
from tests.conftest import MakeShardSet, random_pixels, write_curated_set, write_shard_set
from tests.shards.archives import in_format_4

AWKWARD = (
    "zebra",
    "a.b.tar.gz",
    "a/b",
    "..",
    ".hidden",
    "100%",
    "%2E",
    "ünï çødé 猫",
    " space ",
    "tab\tnew\nline\0",
    "train",
    "x" * 200,
    "ü" * 200,
    "/" * 200,
)
FORMATS = ["imagefolder", "parquet"]
SCORES = ("label_confidence", "nearest_train_distance", "relative_train_distance")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Takes back what the command line changes in this process."""
    terminate, is_quiet = signal.getsignal(signal.SIGTERM), stderr.quiet
    yield
    signal.signal(signal.SIGTERM, terminate)
    stderr.quiet = is_quiet


def run(where: Path | str, to: str, out: Path, **options: Any) -> ExportResult:
    return export(ExportConfig(folder=str(where), to=to, out=str(out), **options))


def samples_of(folder: Path) -> list[ShardSample]:
    return [sample for path in sorted(folder.glob("*.tar")) for sample in iterate_shard(path)]


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(out.glob("data/*")) for row in pyarrow.parquet.read_table(path).to_pylist()]


def tar_of(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def foreign_sample(key: str, label: int, description: Any = None, suffix: str = "png") -> list[tuple[str, bytes]]:
    buffer = io.BytesIO()
    to_pil(random_pixels(3, 8, 8, seed=len(key) + label)).save(buffer, {"png": "PNG", "jpg": "JPEG"}[suffix])
    described = [] if description is None else [(f"{key}.json", json.dumps(description).encode())]
    return [(f"{key}.{suffix}", buffer.getvalue()), (f"{key}.cls", b"%d" % label), *described]


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


class TestImageFolder:
    def test_every_image_file_is_unchanged_in_the_folder_of_its_class(
        self, make_shard_set: MakeShardSet, tmp_path: Path
    ) -> None:
        made = make_shard_set(class_names=("dog", "cat", "bird"))
        result = run(made, "imagefolder", tmp_path / "out")
        found = {path.relative_to(result.out).as_posix(): path.read_bytes() for path in result.out.glob("*/*")}
        expected = {
            f"{('dog', 'cat', 'bird')[sample.label]}/{sample.key}.png": sample.image for sample in samples_of(made)
        }
        assert found == expected
        assert result == ExportResult(
            out=tmp_path / "out",
            to="imagefolder",
            samples=12,
            class_counts={"dog": 4, "cat": 4, "bird": 4},
            files=12,
            skipped=0,
        )

    def test_torchvision_and_classes_json_give_every_label_back(
        self, make_shard_set: MakeShardSet, tmp_path: Path
    ) -> None:
        made = make_shard_set(class_names=("dog", "cat", "bird"), image_format="webp")
        out = run(made, "imagefolder", tmp_path / "out").out
        loaded, classes = ImageFolder(str(out)), json.loads((out / "classes.json").read_text())
        assert loaded.classes == ["bird", "cat", "dog"]
        labels = {Path(path).stem: classes[loaded.classes[target]]["label"] for path, target in loaded.samples}
        assert labels == {sample.key: sample.label for sample in samples_of(made)}
        assert classes["dog"] == {"label": 0, "class": "dog", "images": 4}
        assert loaded[0][0].size == (8, 8)

    def test_the_imagefolder_source_loads_the_same_pixels(self, make_shard_set: MakeShardSet, tmp_path: Path) -> None:
        made = make_shard_set(class_names=("ant", "bee", "train"))
        run(made, "imagefolder", tmp_path / "out")
        loaded, (expected, _) = load_source(f"imagefolder:{tmp_path / 'out'}").train, read_set(made)
        assert [urllib.parse.unquote(name) for name in loaded.class_names] == ["train", "ant", "bee"]
        for label, name in enumerate(expected.class_names):
            place = loaded.class_names.index(class_folder(name))
            assert torch.equal(loaded.images[loaded.labels == place], expected.images[expected.labels == label])

    def test_awkward_class_names_come_back_from_a_set(self, make_shard_set: MakeShardSet, tmp_path: Path) -> None:
        out = run(make_shard_set(class_names=AWKWARD, per_class=1), "imagefolder", tmp_path / "out").out
        classes = json.loads((out / "classes.json").read_text(encoding="utf-8"))
        assert sorted(path.name for path in out.iterdir() if path.is_dir()) == sorted(classes)
        assert {entry["label"]: entry["class"] for entry in classes.values()} == dict(enumerate(AWKWARD))
        assert len(load_source(f"imagefolder:{out}").train) == len(AWKWARD)

    def test_a_class_without_images_has_no_folder(self, make_shard_set: MakeShardSet, tmp_path: Path) -> None:
        made = tmp_path / "foreign"
        made.mkdir()
        tar_of(made / "a.tar", foreign_sample("a", 7) + foreign_sample("b", 3))
        out = run(made, "imagefolder", tmp_path / "out").out
        assert sorted(path.name for path in out.iterdir()) == ["3", "7", "classes.json"]

    def test_shards_of_others_may_use_a_key_again(self, tmp_path: Path) -> None:
        tar_of(tmp_path / "x-0.tar", foreign_sample("same", 0) + foreign_sample("once", 1, suffix="jpg"))
        tar_of(tmp_path / "x-1.tar", foreign_sample("same", 0) + foreign_sample("%2e", 0))
        result = run(f"{tmp_path}/x-{{0..1}}.tar", "imagefolder", tmp_path / "out")
        assert sorted(path.name for path in result.out.glob("0/*")) == ["%252e.png", "same.png", "x-1.tar-same.png"]
        assert [path.name for path in result.out.glob("1/*")] == ["once.jpg"]
        assert result.class_counts == {"0": 3, "1": 1}

    def test_a_key_twice_in_one_shard_is_damage(self, tmp_path: Path) -> None:
        members = [member for key in ("a", "b", "a", "b", "a") for member in foreign_sample(key, 0)]
        shard = tar_of(tmp_path / "x.tar", members)
        with pytest.raises(DamageError, match="sample a is there twice"):
            run(shard, "imagefolder", tmp_path / "out")
        assert run(shard, "imagefolder", tmp_path / "out", on_damage="skip").samples == 4


class TestNames:
    @given(st.text(st.characters(codec="utf-8"), min_size=1))
    def test_a_folder_name_can_be_a_file_and_turns_back_into_the_class_name(self, name: str) -> None:
        folder = class_folder(name)
        assert 0 < len(folder.encode()) <= 255
        assert "/" not in folder
        assert "\0" not in folder
        assert folder[0] != "."
        if "%~" not in folder:
            assert urllib.parse.unquote(folder) == name

    @given(st.lists(st.text(st.sampled_from("a./%~2EFñ\0"), max_size=6), unique=True), st.integers(30, 60))
    def test_different_names_stay_different_also_when_cut(self, names: list[str], limit: int) -> None:
        longer = [name + "é/" * 40 for name in names] + ["é/" * 40 + name for name in names if name]
        found = [safe_name(name, limit) for name in longer]
        assert len(set(found)) == len(set(longer))
        assert all(len(name.encode()) <= limit for name in found)

    @pytest.mark.parametrize("name", ["cat", "ünï çødé", "a b", "a.b", "trains", "Train", "x" * 255, "~", "-", "#"])
    def test_a_name_that_is_safe_is_kept(self, name: str) -> None:
        assert class_folder(name) == name


class TestParquet:
    def test_a_file_for_each_shard_holds_every_field_of_every_sample(
        self, make_shard_set: MakeShardSet, tmp_path: Path
    ) -> None:
        made = make_shard_set(per_class=4, shard_size=3)
        result = run(made, "parquet", tmp_path / "out")
        names = [path.name for path in sorted((result.out / "data").iterdir())]
        assert names == [f"train-0000{number}-of-00003.parquet" for number in range(3)]
        assert [len(pyarrow.parquet.read_table(result.out / "data" / name)) for name in names] == [3, 3, 2]
        assert (result.samples, result.files) == (8, 3)
        for row, sample in zip(rows_of(result.out), samples_of(made), strict=True):
            described = json.loads(sample.description)
            assert row.pop("image") == {"bytes": sample.image, "path": f"{sample.key}.png"}
            assert row.pop("key") == sample.key
            assert row == described
        schema = pyarrow.parquet.read_schema(result.out / "data" / names[0])
        assert schema.field("guidance").type == pyarrow.float64()
        assert {name: schema.field("scores").type.field(name).type for name in SCORES} == dict.fromkeys(
            SCORES, pyarrow.float64()
        )

    @pytest.mark.parametrize("has_manifest", [True, False])
    def test_a_set_of_format_4_gets_the_score_it_did_not_know_as_not_measured(
        self, has_manifest: bool, make_shard_set: MakeShardSet, tmp_path: Path
    ) -> None:
        now, former = make_shard_set("now"), in_format_4(make_shard_set("former"))
        if not has_manifest:
            for made in (now, former):
                (made / "manifest.json").unlink()
                (made / "plan.json").unlink()
        expected = rows_of(run(now, "parquet", tmp_path / "expected").out)
        assert rows_of(run(former, "parquet", tmp_path / "out").out) == expected
        assert expected[0]["scores"] == dict.fromkeys(SCORES, -1.0)

    def test_a_curated_set_has_its_scores_and_its_story(self, make_shard_set: MakeShardSet, tmp_path: Path) -> None:
        source = make_shard_set()
        scores = [Scores(0.5, 2.0, 1.25), Scores(0.75, 3.0, 1.5), Scores(1.0)]
        curated = write_curated_set(tmp_path / "curated", source, [1, 2, 7], scores=scores)
        out = run(curated, "parquet", tmp_path / "out").out
        assert [list(row["scores"].values()) for row in rows_of(out)] == [
            [0.5, 2.0, 1.25],
            [0.75, 3.0, 1.5],
            [1.0, -1.0, -1.0],
        ]
        assert "| curated | confidence 0.2 removed 5 |" in (out / "README.md").read_text()

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of other packages, as datasets imports them
    def test_datasets_sees_images_and_class_names(
        self, make_shard_set: MakeShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import datasets

        monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)  # on the network
        made = make_shard_set(class_names=AWKWARD, per_class=2, shard_size=5)
        out = run(made, "parquet", tmp_path / "out").out
        files = str(out / "data" / "train-*")
        cache = str(tmp_path / "cache")
        by_files = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
        by_card = datasets.load_dataset(str(out), split="train", cache_dir=cache)
        streamed = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
        images, _ = read_set(made)
        for loaded in (by_files, by_card, streamed):
            assert loaded.features["label"].names == list(AWKWARD)
            rows = list(loaded)
            assert [row["label"] for row in rows] == images.labels.tolist()
            assert [row["class"] for row in rows] == [AWKWARD[label] for label in images.labels]
            assert rows[3]["image"].tobytes() == to_pil(images.images[3]).tobytes()

    def test_shards_of_others_have_the_columns_that_all_agree_on(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tar_of(tmp_path / "0.tar", foreign_sample("a", 0) + foreign_sample("b", 2, {"model": "m", "steps": "many"}))
        tar_of(tmp_path / "1.tar", foreign_sample("a", 1, {"guidance": 2, "seed": 2**70, "caption": "?", "steps": 3}))
        out = run(f"{tmp_path}/{{0..1}}.tar", "parquet", tmp_path / "out").out
        first, second, third = rows_of(out)
        assert list(first) == ["image", "label", "key", "model", "guidance"]
        assert [row["label"] for row in (first, second, third)] == [0, 2, 1]
        assert [row["model"] for row in (first, second, third)] == [None, "m", None]
        assert third["guidance"] == 2.0
        metadata = json.loads(pyarrow.parquet.read_schema(next(out.glob("data/*"))).metadata[b"huggingface"])
        assert metadata["info"]["features"]["label"] == {"names": ["0", "1", "2"], "_type": "ClassLabel"}
        assert "left out: seed, steps" in capsys.readouterr().err
        assert "machine-generated" not in (out / "README.md").read_text()

    @pytest.mark.parametrize(
        "description", [b"{", b"[]", b"[" * 100_000, b'{"class": "\\ud800"}', b'{"guidance": true}', b""]
    )
    def test_a_damaged_description_is_damage(
        self, description: bytes, make_shard_set: MakeShardSet, tmp_path: Path
    ) -> None:
        made = make_shard_set(per_class=2, shard_size=2)
        first, second = samples_of(made)[:2]
        members = [("0000000000.png", first.image), ("0000000000.cls", b"0"), ("0000000000.json", description)]
        tar_of(made / "train-000000.tar", members + foreign_sample("0000000001", 1, json.loads(second.description)))
        with pytest.raises(DamageError, match="the JSON of sample 0000000000"):
            run(made, "parquet", tmp_path / "out")
        result = run(made, "parquet", tmp_path / "out", on_damage="skip")
        assert (result.samples, result.skipped) == (3, 1)
        assert [row["key"] for row in rows_of(result.out)] == ["0000000001", "0000010000", "0000010001"]

    def test_without_pyarrow_the_error_names_the_extra(
        self, make_shard_set: MakeShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
        with pytest.raises(InputError, match=r"pip install 'synthaug\[parquet\]'"):
            run(make_shard_set(), "parquet", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert run(tmp_path / "set", "imagefolder", tmp_path / "out").samples == 8


def cut_short(made: Path) -> int:
    path = made / "train-000000.tar"
    path.write_bytes(path.read_bytes()[:-1024])
    return 1  # the last sample is given only when the end was seen


def taken_away(made: Path) -> int:
    (made / "train-000000.tar").unlink()
    return 4


def with_a_broken_image(made: Path) -> int:
    path = made / "train-000000.tar"
    image = samples_of(made)[0].image
    path.write_bytes(path.read_bytes().replace(image, image[:60] + bytes(len(image) - 60)))
    return 1


def with_a_class_too_many(made: Path) -> int:
    path = made / "train-000000.tar"
    members = []
    with tarfile.open(path) as tar:
        for member in tar.getmembers():
            members.append((member.name, tar.extractfile(member).read()))
    tar_of(path, [(name, b"2" if name == "0000000001.cls" else data) for name, data in members])
    return 1


class TestDamage:
    @pytest.mark.parametrize("to", FORMATS)
    @pytest.mark.parametrize("damage", [cut_short, taken_away, with_a_broken_image, with_a_class_too_many])
    def test_damage_is_an_error_or_counted(
        self, damage: Callable[[Path], int], to: str, make_shard_set: MakeShardSet, tmp_path: Path
    ) -> None:
        made = make_shard_set(per_class=4, shard_size=4)
        lost = damage(made)
        with pytest.raises(DamageError, match="train-000000"):
            run(made, to, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert not leftovers(tmp_path)
        result = run(made, to, tmp_path / "out", on_damage="skip")
        assert (result.samples, result.skipped) == (8 - lost, 1)
        assert sum(result.class_counts.values()) == 8 - lost

    @pytest.mark.parametrize("to", FORMATS)
    def test_fewer_samples_than_promised_are_damage(
        self, to: str, make_shard_set: MakeShardSet, tmp_path: Path
    ) -> None:
        made = make_shard_set(per_class=4, shard_size=4)
        smaller = make_shard_set("smaller", per_class=1, shard_size=4)
        (smaller / "train-000000.tar").rename(made / "train-000000.tar")
        with pytest.raises(DamageError, match="promises 4 samples, found 2"):
            run(made, to, tmp_path / "out")
        assert run(made, to, tmp_path / "out", on_damage="skip").skipped == 1

    @pytest.mark.parametrize("to", FORMATS)
    def test_a_set_of_nothing_but_damage_leaves_no_folder(
        self, to: str, make_shard_set: MakeShardSet, tmp_path: Path
    ) -> None:
        made = make_shard_set(shard_size=8)
        taken_away(made)
        with pytest.raises(InputError, match="at least one image is needed"):
            run(made, to, tmp_path / "out", on_damage="skip")
        assert not (tmp_path / "out").exists()

    def test_an_unfinished_set_is_refused(self, make_shard_set: MakeShardSet, tmp_path: Path) -> None:
        made = make_shard_set()
        (made / "manifest.json").unlink()
        with pytest.raises(InputError, match="is unfinished"):
            run(made, "imagefolder", tmp_path / "out")
        only = run(made / "train-000000.tar", "imagefolder", tmp_path / "out")
        assert only.class_counts == {"0": 2, "1": 1}

    def test_classes_of_the_same_name_are_refused(self, make_shard_set: MakeShardSet, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="several classes are called 'cat'"):
            run(make_shard_set(class_names=("cat", "dog", "cat")), "imagefolder", tmp_path / "out")


@pytest.mark.parametrize("to", FORMATS)
class TestPlace:
    @pytest.mark.parametrize("content", ["file.txt", ".hidden", "folder/file.txt"])
    def test_a_folder_that_holds_something_is_refused_and_left_alone(
        self, content: str, to: str, make_shard_set: MakeShardSet, tmp_path: Path
    ) -> None:
        (tmp_path / "out" / content).parent.mkdir(parents=True)
        (tmp_path / "out" / content).write_text("mine")
        with pytest.raises(InputError, match=r"--out .*out holds (hidden )?files; the export needs"):
            run(make_shard_set(), to, tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == [Path(content).name]

    def test_a_file_and_a_url_are_refused(self, to: str, make_shard_set: MakeShardSet, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="is a file"):
            run(make_shard_set(), to, tmp_path / "file")
        with pytest.raises(InputError, match="must be a folder on a disk"):
            export(ExportConfig(folder=str(tmp_path / "set"), to=to, out="s3://bucket/x"))

    def test_an_empty_folder_a_link_to_one_and_a_new_one_deep_down_are_taken(
        self, to: str, make_shard_set: MakeShardSet, tmp_path: Path
    ) -> None:
        made = make_shard_set()
        (tmp_path / "empty").mkdir()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        for name in ("empty", "link", "new/and/deep"):
            run(made, to, tmp_path / name)
            assert len([path for path in (tmp_path / name).rglob("*") if path.is_file()]) > 1
        assert (tmp_path / "link").is_symlink()

    def test_a_mounted_disk_is_refused_before_any_work(
        self, to: str, make_shard_set: MakeShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "out").mkdir()
        monkeypatch.setattr(Path, "is_mount", lambda self: self.name == "out")
        with pytest.raises(InputError, match="is where a disk is mounted"):
            run(make_shard_set(), to, tmp_path / "out")

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=repr)
    def test_what_ends_early_leaves_nothing(
        self,
        error: BaseException,
        to: str,
        make_shard_set: MakeShardSet,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fail() -> None:
            raise error

        monkeypatch.setattr("synthaug.workflows.place.os.sync", fail)
        with pytest.raises(StorageError if isinstance(error, OSError) else KeyboardInterrupt):
            run(make_shard_set(), to, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert not leftovers(tmp_path)

    def test_what_killed_exports_left_is_removed_and_what_runs_is_not(
        self, to: str, make_shard_set: MakeShardSet, tmp_path: Path
    ) -> None:
        for name in (".killed.unfinished", ".running.unfinished", ".other"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").touch()
        os.mkfifo(tmp_path / ".pipe.unfinished")
        running = os.open(tmp_path / ".running.unfinished", os.O_RDONLY)
        try:
            fcntl.flock(running, fcntl.LOCK_EX)
            run(make_shard_set(), to, tmp_path / "out")
        finally:
            os.close(running)
        assert sorted(leftovers(tmp_path)) == [".other", ".pipe.unfinished", ".running.unfinished"]

    def test_a_set_in_an_object_store_exports_the_same_files(
        self, to: str, make_shard_set: MakeShardSet, tmp_path: Path
    ) -> None:
        made, url = make_shard_set(), f"memory://export-{to}/set"
        for path in made.iterdir():
            folder_at(url).write(path.name, path.read_bytes())
        here, there = (run(where, to, tmp_path / name).out for where, name in ((made, "here"), (url, "there")))
        files = [path.relative_to(here) for path in here.rglob("*") if path.is_file()]
        assert {path: (here / path).read_bytes() for path in files} == {
            path: (there / path).read_bytes() for path in files
        }
        assert len(files) == len([path for path in there.rglob("*") if path.is_file()])

    def test_memory_does_not_grow_with_the_set(self, to: str, tmp_path: Path) -> None:
        image = encode_png(random_pixels(3, 200, 200))
        for name, shards in (("small", 2), ("large", 12)):
            (tmp_path / name).mkdir()
            for number in range(shards):
                members = [
                    (f"{place}.{end}", data) for place in range(8) for end, data in (("png", image), ("cls", b"0"))
                ]
                tar_of(tmp_path / name / f"{number:02d}.tar", members)
        run(tmp_path / "small", to, tmp_path / "warm-up")
        peaks = []
        for name in ("small", "large"):
            tracemalloc.start()
            run(tmp_path / name, to, tmp_path / f"{name}-out")
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] - peaks[0] < 4 * len(image)


def test_the_command_prints_one_json_object_and_tells_of_damage(
    make_shard_set: MakeShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_shard_set(per_class=4, shard_size=4)
    cut_short(made)
    words = ["export", str(made), "--to", "parquet", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 3
    with pytest.raises(SystemExit) as ended:
        main([*words, "--on-damage", "skip", "--json"])
    captured = capsys.readouterr()
    assert not ended.value.code
    assert json.loads(captured.out) == {
        "out": str(tmp_path / "out"),
        "to": "parquet",
        "samples": 7,
        "class_counts": {"cat": 4, "dog": 3},
        "files": 2,
        "skipped": 1,
    }
    assert "skipped 1 damaged piece(s)" in captured.err
    with pytest.raises(SystemExit) as ended:
        main(["export", str(tmp_path / "nothing"), "--to", "parquet", "--out", str(tmp_path / "other")])
    assert ended.value.code == 2


def test_the_command_tells_people_what_it_did(
    make_shard_set: MakeShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["export", str(make_shard_set()), "--to", "imagefolder", "--out", str(tmp_path / "out"), "--quiet"])
    out = capsys.readouterr().out
    assert out == f"{tmp_path / 'out'}: 8 images in 8 imagefolder file(s)\nper class: cat 4, dog 4\n"


def test_every_sample_of_a_set_is_exported_once_in_both_formats(tmp_path: Path) -> None:
    made = write_shard_set(tmp_path / "set", class_names=("a", "b", "c"), per_class=7, shard_size=4)
    keys = Counter(sample.key for sample in samples_of(made))
    images = run(made, "imagefolder", tmp_path / "images").out
    table = run(made, "parquet", tmp_path / "table").out
    assert (
        Counter(path.stem for path in images.glob("*/*.png")) == keys == Counter(row["key"] for row in rows_of(table))
    )
