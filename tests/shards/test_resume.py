from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthaug.core.errors import DamageError, InputError
from synthaug.core.folders import Folder, folder_at, read_bytes
from synthaug.shards.finish import finish_set
from synthaug.shards.manifest import MANIFEST_NAME, PLAN_NAME, Manifest, read_plan
from synthaug.shards.plan import SetPlan
from synthaug.shards.reader import iterate_shard
from synthaug.shards.resume import Mode, Work, check_continues, existing_plan, kept_images, prepare_folder
from synthaug.shards.verify import verify_set
from synthaug.shards.writer import encode_images, write_shard
from tests.conftest import plan_of, random_pixels, write_curated_set, write_shard_set
from tests.shards.archives import in_format_4

PLAN = plan_of(per_class=4, shard_size=3)
LONGER = PLAN.model_copy(update={"per_class": 6})
EVERYTHING = [0, 1, 2]


@pytest.fixture(params=["disk", "store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A finished set of PLAN, on a disk or in a store."""
    made = write_shard_set(tmp_path / "set", per_class=4, shard_size=3)
    if request.param == "disk":
        return folder_at(made)
    store = folder_at(f"memory:/{tmp_path}/store")
    for path in made.iterdir():
        store.write(path.name, path.read_bytes())
    return store


def make(folder: Folder, plan: SetPlan, numbers: list[int]) -> None:
    """Writes some shards whole."""
    for number in numbers:
        shard = plan.shard(number)
        write_shard(folder, shard, encode_images(random_pixels(len(shard), 3, 8, 8, seed=number), plan.image_format))


class TestExistingPlan:
    def test_a_new_folder_has_none(self, tmp_path: Path) -> None:
        assert existing_plan(folder_at(tmp_path)) is None
        assert existing_plan(folder_at(tmp_path / "none")) is None
        assert existing_plan(folder_at(f"memory:/{tmp_path}/none")) is None

    def test_a_set_has_its_own(self, folder: Folder) -> None:
        assert existing_plan(folder) == PLAN
        folder.remove(MANIFEST_NAME)
        assert existing_plan(folder) == PLAN, "also before it is finished"

    def test_another_folder_is_refused(self, folder: Folder) -> None:
        folder.remove(PLAN_NAME)
        assert existing_plan(folder) == PLAN, "the manifest holds it too"
        folder.write(MANIFEST_NAME, b'{"name": "another program"}')
        with pytest.raises(InputError, match="is not empty and holds no shard set"):
            existing_plan(folder)
        with pytest.raises(InputError, match="is not empty and holds no shard set"):
            existing_plan(folder, is_to_go=True)

    def test_a_damaged_plan_is_damage_unless_it_is_to_go(self, folder: Folder) -> None:
        folder.write(PLAN_NAME, b"{")
        with pytest.raises(DamageError, match=r"plan\.json is not a plan"):
            existing_plan(folder)
        assert existing_plan(folder, is_to_go=True) is None
        assert todo(prepare_folder(folder, PLAN, EVERYTHING, is_new=True)) == ([0, 1, 2], 8)
        assert existing_plan(folder) == PLAN


class TestContinuing:
    @pytest.mark.parametrize("mode", ["incremental", "extend"])
    def test_the_same_plan_goes_on(self, folder: Folder, mode: Mode) -> None:
        check_continues(folder, PLAN, PLAN, mode)

    @pytest.mark.parametrize("mode", ["incremental", "extend"])
    @pytest.mark.parametrize(
        ("change", "found"),
        [
            ({"seed": 7}, "seed is 0 there and 7 now"),
            ({"sampler": "ddim"}, "sampler is 'none' there and 'ddim' now"),
            ({"steps": 9}, "steps is 1 there and 9 now"),
            ({"guidance": 2.5}, "guidance is 1.0 there and 2.5 now"),
            ({"precision": "bf16"}, "precision is 'fp32' there and 'bf16' now"),
            ({"shard_size": 4}, "shard_size is 3 there and 4 now"),
            ({"batch_size": 5}, "batch_size is 2 there and 5 now"),
            ({"image_format": "webp"}, "image_format is 'png' there and 'webp' now"),
            ({"classes": (1,)}, r"classes is \(0, 1\) there and \(1,\) now"),
        ],
    )
    def test_other_settings_are_refused_naming_both_values(
        self, folder: Folder, mode: Mode, change: dict[str, Any], found: str
    ) -> None:
        with pytest.raises(InputError, match=f"{found}.*--mode extend.*--mode overwrite") as caught:
            check_continues(folder, PLAN, PLAN.model_copy(update=change), mode)
        assert str(folder) in str(caught.value)

    def test_another_generator_is_refused(self, folder: Folder) -> None:
        other = PLAN.generator.model_copy(update={"checkpoint": "f" * 64})
        with pytest.raises(InputError, match=f"checkpoint is '{'0' * 64}' there and '{'f' * 64}' now"):
            check_continues(folder, PLAN, PLAN.model_copy(update={"generator": other}), "incremental")

    def test_more_images_need_the_mode_extend(self, folder: Folder) -> None:
        check_continues(folder, PLAN, LONGER, "extend")
        with pytest.raises(InputError, match="per_class is 4 there and 6 now"):
            check_continues(folder, PLAN, LONGER, "incremental")

    def test_fewer_images_are_no_extension(self, folder: Folder) -> None:
        with pytest.raises(InputError, match="--per-class must be at least 6, found 4"):
            check_continues(folder, LONGER, PLAN, "extend")


class TestOtherKinds:
    """Sets that are not continued, whatever the settings."""

    @pytest.mark.parametrize("mode", ["incremental", "extend"])
    @pytest.mark.parametrize("is_finished", [False, True])
    def test_a_curated_set_is_left_as_it_is(self, tmp_path: Path, mode: Mode, is_finished: bool) -> None:
        source = write_shard_set(tmp_path / "set", per_class=4, shard_size=3)
        folder = folder_at(write_curated_set(tmp_path / "curated", source, [0, 3, 4, 7]))
        if not is_finished:
            folder.remove(MANIFEST_NAME)
        before = existing_plan(folder)
        assert before is not None
        for plan in (PLAN, LONGER, before):
            with pytest.raises(InputError, match=f"{folder} is curated.*--mode overwrite"):
                check_continues(folder, before, plan, mode)
        assert existing_plan(folder, is_to_go=True) is None
        assert todo(prepare_folder(folder, PLAN, EVERYTHING, is_new=True)) == ([0, 1, 2], 8)

    def test_a_set_of_format_4_stays_as_it_is_or_is_made_anew(self, tmp_path: Path) -> None:
        made = in_format_4(write_shard_set(tmp_path / "set", per_class=4, shard_size=3))
        folder, contents = folder_at(made), {path.name: path.read_bytes() for path in made.iterdir()}
        check_continues(folder, PLAN, PLAN, "incremental")
        assert prepare_folder(folder, PLAN, EVERYTHING, is_new=False).is_finished
        assert {path.name: path.read_bytes() for path in made.iterdir()} == contents
        with pytest.raises(InputError, match="has format 4, which this version does not add to: .*--mode overwrite"):
            check_continues(folder, PLAN, LONGER, "extend")
        folder.remove("train-000001.tar")
        with pytest.raises(InputError, match="has format 4"):
            check_continues(folder, PLAN, PLAN, "incremental")

    def test_an_unfinished_set_of_format_4_gets_no_shards_of_another(self, tmp_path: Path) -> None:
        folder = folder_at(in_format_4(write_shard_set(tmp_path / "set", per_class=4, shard_size=3)))
        folder.remove(MANIFEST_NAME)
        folder.remove("train-000001.tar")
        with pytest.raises(DamageError, match="description than the plan's, but that of format 4.*Delete this shard"):
            prepare_folder(folder, PLAN, EVERYTHING, is_new=False)
        make(folder, PLAN, [1])
        with pytest.raises(DamageError, match="but that of format 4"):
            finish_set(folder, PLAN, {})
        assert not folder.has(MANIFEST_NAME)


def todo(work: Work) -> tuple[list[int], int]:
    """The shards to be made and the images to be drawn for them."""
    return work.shards, work.images


class TestPreparing:
    @pytest.mark.parametrize("where", ["disk", "store"])
    def test_in_a_new_folder_everything_is_to_be_made(self, tmp_path: Path, where: str) -> None:
        folder = folder_at(tmp_path / "a" / "b" if where == "disk" else f"memory:/{tmp_path}/a")
        assert todo(prepare_folder(folder, PLAN, EVERYTHING, is_new=False)) == ([0, 1, 2], 8)
        assert folder.names() == [PLAN_NAME]
        assert read_plan(folder) == PLAN

    def test_a_finished_set_needs_nothing_and_stays_finished(self, folder: Folder) -> None:
        folder.write("README.md", b"edited")
        work = prepare_folder(folder, PLAN, EVERYTHING, is_new=False)
        assert (todo(work), work.is_finished) == (([], 0), True)
        assert Manifest.read(folder).plan == PLAN
        assert read_bytes(folder, "README.md") == b"edited"

    def test_a_missing_shard_is_to_be_made_and_the_manifest_withdrawn(self, folder: Folder) -> None:
        folder.remove("train-000001.tar")
        assert todo(prepare_folder(folder, PLAN, EVERYTHING, is_new=False)) == ([1], 3)
        assert not folder.has(MANIFEST_NAME)
        make(folder, PLAN, [1])
        assert finish_set(folder, PLAN, {}) == []

    def test_only_the_chosen_shards_are_cared_for(self, folder: Folder) -> None:
        folder.remove("train-000001.tar")
        assert todo(prepare_folder(folder, PLAN, [0, 2], is_new=False)) == ([], 0)
        assert todo(prepare_folder(folder, PLAN, [1], is_new=False)) == ([1], 3)

    def test_without_a_manifest_shards_are_kept_if_they_are_the_plans(self, folder: Folder) -> None:
        folder.remove(MANIFEST_NAME)
        folder.remove("train-000002.tar")
        work = prepare_folder(folder, PLAN, EVERYTHING, is_new=False)
        assert (todo(work), work.checked, work.is_finished) == (([2], 2), {0, 1}, False)
        assert not {"README.md", "croissant.json", "preview.png"} & set(folder.names())

    def test_an_extension_makes_the_short_shard_longer_and_adds_others(self, folder: Folder) -> None:
        assert todo(prepare_folder(folder, LONGER, [0, 1, 2, 3], is_new=False)) == ([2, 3], 4)
        assert not folder.has(MANIFEST_NAME)
        assert read_plan(folder) == LONGER
        assert folder.has("train-000000.tar")

    def test_an_extension_of_full_shards_alone_withdraws_the_manifest_too(self, folder: Folder) -> None:
        assert todo(prepare_folder(folder, LONGER, [0, 1], is_new=False)) == ([], 0)
        assert read_plan(folder) == LONGER
        assert not folder.has(MANIFEST_NAME), "the shorter set's manifest would contradict the plan"

    def test_an_interrupted_extension_goes_on(self, folder: Folder) -> None:
        prepare_folder(folder, LONGER, [0, 1, 2, 3], is_new=False)
        make(folder, LONGER, [3])
        assert todo(prepare_folder(folder, LONGER, [0, 1, 2, 3], is_new=False)) == ([2], 1)

    def test_overwriting_takes_away_the_set_but_nothing_else(self, folder: Folder) -> None:
        folder.write("notes.txt", b"mine")
        folder.write("other.tar", b"mine")
        shorter = PLAN.model_copy(update={"per_class": 1, "seed": 9})
        assert todo(prepare_folder(folder, shorter, [0], is_new=True)) == ([0], 2)
        assert not [name for name in folder.names() if name.startswith("train-")]
        assert not folder.has(MANIFEST_NAME)
        assert read_plan(folder) == shorter
        assert {"notes.txt", "other.tar"} <= set(folder.names())

    @pytest.mark.parametrize(
        ("damage", "found"),
        [
            (lambda data: data[:-1], "has .* bytes instead of"),
            (lambda data: data[:900] + bytes([data[900] ^ 1]) + data[901:], "has another sha256"),
            (lambda _: b"", "has 0 bytes instead of"),
        ],
    )
    def test_a_damaged_shard_of_a_finished_set_is_never_kept_or_replaced_silently(
        self, folder: Folder, damage: Callable[[bytes], bytes], found: str
    ) -> None:
        with folder.open("train-000001.tar") as file:
            damaged = damage(file.read())
        folder.write("train-000001.tar", damaged)
        with pytest.raises(DamageError, match=rf"train-000001\.tar {found}.*synthaug verify --repair"):
            prepare_folder(folder, PLAN, EVERYTHING, is_new=False)
        with folder.open("train-000001.tar") as file:
            assert file.read() == damaged
        assert folder.has(MANIFEST_NAME)

    def test_a_damaged_shard_of_an_unfinished_set_is_named_with_the_remedy(self, folder: Folder) -> None:
        folder.remove(MANIFEST_NAME)
        folder.write("train-000001.tar", b"hello")
        with pytest.raises(DamageError, match=r"train-000001\.tar: .*Delete this shard and run the same command"):
            prepare_folder(folder, PLAN, EVERYTHING, is_new=False)

    def test_the_shards_of_another_seed_are_not_kept(self, folder: Folder) -> None:
        folder.remove(MANIFEST_NAME)
        with pytest.raises(DamageError, match="has another description than the plan's"):
            prepare_folder(folder, PLAN.model_copy(update={"seed": 1}), EVERYTHING, is_new=False)

    def test_what_killed_processes_left_is_cleared_away(self, tmp_path: Path) -> None:
        from synthaug.core.storage import _HOST

        gone = tmp_path / f".train-000000.tar.{_HOST}.{2**22 + 1}.0a1b.partial"
        gone.touch()
        prepare_folder(folder_at(tmp_path), PLAN, EVERYTHING, is_new=False)
        assert [path.name for path in tmp_path.iterdir()] == [PLAN_NAME]


class TestKeptImages:
    def test_they_are_the_files_of_the_shard_as_they_stand(self, folder: Folder) -> None:
        kept = kept_images(folder, LONGER.shard(2))
        assert kept == [sample.image for sample in iterate_shard(folder.where("train-000002.tar"))]
        assert len(kept) == 2

    def test_a_shard_that_is_not_there_keeps_none(self, folder: Folder) -> None:
        assert kept_images(folder, LONGER.shard(3)) == []

    def test_a_longer_shard_with_the_kept_images_is_a_whole_one(self, folder: Folder) -> None:
        shard = LONGER.shard(2)
        prepare_folder(folder, LONGER, [2, 3], is_new=False)
        new = encode_images(random_pixels(1, 3, 8, 8), "png")
        write_shard(folder, shard, kept_images(folder, shard) + new)
        make(folder, LONGER, [3])
        assert finish_set(folder, LONGER, {}) == []
        assert verify_set(str(folder), deep=True).samples == 12
