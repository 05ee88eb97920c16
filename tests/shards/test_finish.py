import io
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from synthaug.core.errors import DamageError, StorageError
from synthaug.core.folders import LocalFolder, folder_at
from synthaug.core.pixels import from_pil, grid
from synthaug.shards.finish import PREVIEW_NAME, finish_set, missing_shards, preview
from synthaug.shards.manifest import MANIFEST_NAME, Manifest, read_plan, write_plan
from synthaug.shards.plan import SetPlan
from synthaug.shards.reader import read_set
from synthaug.shards.verify import verify_set
from synthaug.shards.writer import encode_images, write_shard
from tests.conftest import plan_of, random_pixels, write_curated_set

DESCRIPTIONS = {"preview.png", "README.md", "croissant.json", MANIFEST_NAME}
PLAN = plan_of(per_class=4, shard_size=3)


class RecordingFolder(LocalFolder):
    """A folder on disk that notes what is written in which order, and may refuse a file."""

    def __init__(self, path: Path, refused: str = "") -> None:
        super().__init__(path)
        self.written: list[str] = []
        self.refused = refused

    def write(self, name: str, data: bytes) -> None:
        if name == self.refused:
            raise StorageError("the disk is full")
        super().write(name, data)
        self.written.append(name)


def write_shards(folder: Path, plan: SetPlan, count: int | None = None):
    """The records of a set's shards, all or the first `count`, after they were written."""
    records = {}
    for shard in list(plan.shards())[:count]:
        pixels = random_pixels(len(shard), 3, 8, 8, seed=shard.number)
        records[shard.number] = write_shard(folder_at(folder), shard, encode_images(pixels, plan.image_format))
    return records


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_complete_set_gets_everything_and_the_manifest_last(tmp_path: Path) -> None:
    folder = RecordingFolder(tmp_path)
    assert finish_set(folder, PLAN, write_shards(tmp_path, PLAN)) == []
    assert set(folder.written) == DESCRIPTIONS
    assert folder.written[-1] == MANIFEST_NAME
    assert set(folder.names()) == DESCRIPTIONS | {shard.file_name for shard in PLAN.shards()}
    assert Manifest.read(tmp_path).plan == PLAN
    verify_set(tmp_path, deep=True)


def test_an_incomplete_set_is_left_as_it_is(tmp_path: Path) -> None:
    records = write_shards(tmp_path, PLAN)
    for number in (0, 2):
        (tmp_path / PLAN.shard(number).file_name).unlink()
    before = contents(tmp_path)
    assert missing_shards(folder_at(tmp_path), PLAN) == [0, 2]
    assert finish_set(folder_at(tmp_path), PLAN, records) == [0, 2]
    assert contents(tmp_path) == before


def test_an_empty_or_missing_folder_lacks_every_shard(tmp_path: Path) -> None:
    for where in (tmp_path, tmp_path / "none"):
        assert finish_set(folder_at(where), PLAN, {}) == [0, 1, 2]


def test_a_shard_that_is_shorter_than_planned_is_not_finished(tmp_path: Path) -> None:
    write_shards(tmp_path, PLAN)
    longer = PLAN.model_copy(update={"per_class": 5})
    write_shards(tmp_path / "other", longer)
    shutil.copy(tmp_path / "other" / "train-000003.tar", tmp_path)
    before = contents(tmp_path / "other")
    assert finish_set(folder_at(tmp_path), longer, {}) == [2]
    assert not (tmp_path / MANIFEST_NAME).exists()
    assert contents(tmp_path / "other") == before


def test_known_shards_are_trusted_and_all_others_read(tmp_path: Path) -> None:
    records = write_shards(tmp_path, PLAN)
    victim = tmp_path / PLAN.shard(1).file_name
    victim.write_bytes(victim.read_bytes()[:-1])
    del records[1]
    with pytest.raises(DamageError, match=r"train-000001\.tar: cut short"):
        finish_set(folder_at(tmp_path), PLAN, records)
    assert not (tmp_path / MANIFEST_NAME).exists()


def test_the_shards_of_another_set_are_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, PLAN)
    with pytest.raises(DamageError, match="has another description than the plan's"):
        finish_set(folder_at(tmp_path), PLAN.model_copy(update={"seed": 1}), {})
    assert not (tmp_path / MANIFEST_NAME).exists()


def test_whoever_finishes_a_set_writes_the_same_bytes(tmp_path: Path) -> None:
    records = write_shards(tmp_path / "a", PLAN)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert finish_set(folder_at(tmp_path / "a"), PLAN, records) == []
    assert finish_set(folder_at(tmp_path / "b"), PLAN, {1: records[1]}) == []
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert finish_set(folder_at(tmp_path / "a"), PLAN, {}) == []
    assert contents(tmp_path / "a") == contents(tmp_path / "b"), "a second finisher changes nothing"


@pytest.mark.parametrize("refused", sorted(DESCRIPTIONS))
def test_a_refusal_on_the_way_leaves_no_manifest_and_the_next_finisher_goes_on(tmp_path: Path, refused: str) -> None:
    write_shards(tmp_path, PLAN)
    with pytest.raises(StorageError):
        finish_set(RecordingFolder(tmp_path, refused), PLAN, {})
    assert not (tmp_path / MANIFEST_NAME).exists()
    assert finish_set(folder_at(tmp_path), PLAN, {}) == []
    verify_set(tmp_path)


def test_a_set_in_a_store_is_finished_with_the_same_bytes(tmp_path: Path) -> None:
    write_shards(tmp_path, PLAN)
    url = f"memory:/{tmp_path}/set"
    for path in tmp_path.iterdir():
        folder_at(url).write(path.name, path.read_bytes())
    assert finish_set(folder_at(url), PLAN, {}) == finish_set(folder_at(tmp_path), PLAN, {}) == []
    for name in folder_at(tmp_path).names():
        with folder_at(url).open(name) as remote:
            assert remote.read() == (tmp_path / name).read_bytes()


class TestPreview:
    def test_it_shows_a_row_for_each_class_of_the_first_shard(self, tmp_path: Path) -> None:
        plan = plan_of(per_class=4, shard_size=8)
        finish_set(folder_at(tmp_path), plan, write_shards(tmp_path, plan))
        images, _ = read_set(tmp_path)
        with Image.open(tmp_path / PREVIEW_NAME) as picture:
            shown = from_pil(picture, 3)
        rows = torch.cat([images.images[images.labels == label] for label in range(2)])
        assert torch.equal(shown, grid(rows, 4, scale=4))

    def test_rows_of_classes_with_fewer_images_end_in_white(self, make_shard_set, tmp_path: Path) -> None:
        source = make_shard_set(class_names=("cat", "dog", "fox"), per_class=4, shard_size=12)
        curated = write_curated_set(tmp_path / "curated", source, [0, 1, 4, 7])  # one cat, three dogs, no fox
        images, _ = read_set(curated)
        with Image.open(curated / PREVIEW_NAME) as picture:
            shown = from_pil(picture, 3)
        white = torch.full_like(images.images[:2], 255)
        rows = torch.cat([images.images[:1], white, images.images[1:]])
        assert torch.equal(shown, grid(rows, 3, scale=4))

    @pytest.mark.parametrize(
        ("per_class", "shard_size", "classes"), [(1, 1, (0, 1)), (30, 60, (0, 1)), (3, 2, (1,)), (2, 3, (0, 1))]
    )
    @pytest.mark.parametrize("channels", [1, 3])
    def test_it_is_a_bounded_picture_of_any_set(
        self, tmp_path: Path, per_class: int, shard_size: int, classes: tuple[int, ...], channels: int
    ) -> None:
        plan = plan_of(per_class=per_class, shard_size=shard_size, classes=classes, channels=channels)
        shard = plan.shard(0)
        write_shard(folder_at(tmp_path), shard, encode_images(random_pixels(len(shard), channels, 8, 8), "png"))
        with Image.open(io.BytesIO(preview(folder_at(tmp_path), plan))) as picture:
            assert picture.mode == ("L" if channels == 1 else "RGB")
            assert picture.width <= 10 * 33 + 1
            assert picture.height <= 10 * 33 + 1


class TestCard:
    @pytest.mark.parametrize("name", ['a: "b"', "---", "x\ny", "a|b", "- c", "#", "{}", "狐"])
    def test_any_class_name_leaves_the_metadata_readable(self, make_shard_set, name: str) -> None:
        text = (make_shard_set(class_names=("other", name)) / "README.md").read_text(encoding="utf-8")
        _, front, body = text.split("---\n", 2)
        metadata = yaml.safe_load(front)
        assert metadata["size_categories"] == ["n<1K"]
        assert metadata["task_categories"] == ["image-classification"]
        assert metadata["configs"][0]["data_files"] == [{"split": "train", "path": "train-*.tar"}]
        assert "8 images of 8x8 pixels, 4 for each of\n2 classes" in body

    def test_it_names_all_shards_for_webdataset(self, make_shard_set) -> None:
        text = (make_shard_set(per_class=4, shard_size=3) / "README.md").read_text()
        assert '"train-{000000..000002}.tar"' in text


def test_a_plan_that_was_written_first_is_the_plan_of_the_manifest(make_shard_set) -> None:
    folder = make_shard_set()
    assert read_plan(folder_at(folder)) == Manifest.read(folder).plan
    write_plan(folder_at(folder), PLAN)
    assert read_plan(folder_at(folder)) == PLAN


class TestOrigin:
    def test_card_and_description_name_all_that_the_generator_learned_from(self, make_shard_set) -> None:
        former = plan_of().generator.split.model_copy(
            update={"source": "imagefolder:before", "seed": 3, "train_fingerprint": "4" * 64}
        )
        folder = make_shard_set(ancestors=(former,))
        card = (folder / "README.md").read_text()
        assert "| trained on | 8 images of imagefolder:elsewhere (split seed 0), 1 images seen |\n" in card
        assert "| before that on | 8 images of imagefolder:before (split seed 3) |\n" in card
        derived = json.loads((folder / "croissant.json").read_text())["prov:wasDerivedFrom"]
        assert [entity["name"] for entity in derived] == ["imagefolder:elsewhere", "imagefolder:before"]
        assert [entity["identifier"] for entity in derived] == [f"sha256:{'2' * 64}", f"sha256:{'4' * 64}"]

    def test_card_and_description_of_a_curated_set_say_what_was_kept_by_what(
        self, make_shard_set, tmp_path: Path
    ) -> None:
        source = make_shard_set(class_names=("cat", "dog", "fox"), per_class=4)
        former = plan_of().generator.split.model_copy(
            update={"source": "imagefolder:before", "train_fingerprint": "4" * 64}
        )
        once = write_curated_set(tmp_path / "once", source, [0, 1, 3, 4, 6, 9])  # four cats, two dogs
        twice = write_curated_set(tmp_path / "twice", once, [0, 2], ancestors=(former,))
        card = (once / "README.md").read_text()
        assert "6 images of 8x8 pixels, 2 to 4 for each of\n2 classes (cat, dog), all made by a machine. " in card
        assert "They are what was kept of 12." in card
        assert "| curated | confidence 0.2 removed 6 |\n" in card
        judge = "resnet20, 400 steps, validation accuracy 97.50 %, trained on 12 images of imagefolder:elsewhere"
        assert f"| by the judgement of | {judge} (split seed 0) |\n" in card
        assert "| sampler | none, 1 steps" in card
        both = (twice / "README.md").read_text()
        assert "2 images of 8x8 pixels, 2 for each of\n1 classes (cat), all" in both
        assert both.index("| curated | confidence 0.2 removed 6 |") < both.index(
            "| curated | confidence 0.2 removed 4 |"
        )
        assert f"{judge} (split seed 0), before that on 8 images of imagefolder:before (split seed 0) |" in both

        described = json.loads((twice / "croissant.json").read_text())
        assert described["description"].startswith(
            "2 synthetic images of 1 classes, 8x8 pixels, drawn by a test generator"
        )
        assert described["description"].endswith("kept of 12 by a curation.")
        keys = [f"sha256:{one.source}" for one in Manifest.read(twice).plan.curations]
        drawing, *curations = described["prov:wasGeneratedBy"]
        assert drawing == json.loads((source / "croissant.json").read_text())["prov:wasGeneratedBy"]
        assert [one["name"] for one in curations] == ["curation: confidence 0.2"] * 2
        assert [one["prov:used"][0]["identifier"] for one in curations] == keys
        classifier = curations[1]["prov:used"][1]
        assert (classifier["name"], classifier["identifier"]) == ("resnet20 classifier", f"sha256:{'5' * 64}")
        assert [one["name"] for one in classifier["prov:wasDerivedFrom"]] == [
            "imagefolder:elsewhere",
            "imagefolder:before",
        ]
        derived = [one["identifier"] for one in described["prov:wasDerivedFrom"]]
        assert derived == [f"sha256:{'2' * 64}", *keys]

    def test_card_tells_where_it_was_guided_and_whether_it_was_compiled(self, tmp_path: Path) -> None:
        plan = PLAN.model_copy(update={"guidance": 2.0, "guidance_interval": (0.3, 5.0), "compiled": True})
        write_plan(folder_at(tmp_path), plan)
        assert not finish_set(folder_at(tmp_path), plan, write_shards(tmp_path, plan))
        assert "guidance 2 at noise levels 0.3 to 5, fp32, compiled, seed 0 |" in (tmp_path / "README.md").read_text()
