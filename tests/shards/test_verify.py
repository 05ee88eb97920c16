import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthaug.core.errors import DamageError, InputError
from synthaug.core.folders import folder_at
from synthaug.core.pixels import encode_png
from synthaug.shards import tar
from synthaug.shards.manifest import MANIFEST_NAME, PLAN_NAME, Manifest
from synthaug.shards.verify import ShardDamage, Verification, check_contents, find_damage, verify_set
from synthaug.shards.writer import encode_images, record_of, write_shard
from tests.conftest import plan_of, random_pixels
from tests.shards.archives import in_format_4, members_of

VICTIM = "train-000001.tar"


@pytest.fixture
def folder(make_shard_set) -> Path:
    """Shards of three, three and two samples."""
    return make_shard_set(class_names=("cat", "dog"), per_class=4, shard_size=3)


def rewrite(folder: Path, edit: Callable[[dict[str, bytes]], object]) -> Path:
    """Changes members of the victim, and the manifest so that sizes and hashes are those of the changed shard."""
    members = members_of(folder / VICTIM)
    edit(members)
    packed = [part for name, data in members.items() for part in (tar.header(name, len(data)), *tar.padded(data))]
    (folder / VICTIM).write_bytes(b"".join([*packed, tar.END]))
    manifest = Manifest.read(folder)
    records = list(manifest.shards)
    records[1] = record_of(folder_at(folder), manifest.plan.shard(1))
    manifest.model_copy(update={"shards": tuple(records)}).write(folder_at(folder))
    return folder


class TestAgainstTheManifest:
    @pytest.mark.parametrize("deep", [False, True])
    def test_an_intact_set_passes_with_its_totals(self, folder: Path, deep: bool) -> None:
        size = sum(path.stat().st_size for path in folder.glob("*.tar"))
        expected = Verification(shards=3, samples=8, bytes=size, class_counts={"cat": 4, "dog": 4}, is_deep=deep)
        assert verify_set(folder, deep=deep) == expected

    def test_a_set_in_a_store_is_proved_the_same_way(self, folder: Path, tmp_path: Path) -> None:
        url = f"memory:/{tmp_path}/set"
        for path in folder.iterdir():
            folder_at(url).write(path.name, path.read_bytes())
        assert verify_set(url, deep=True) == verify_set(folder, deep=True)
        folder_at(url).remove(VICTIM)
        with pytest.raises(DamageError, match=rf"^{url} is damaged: {VICTIM} is missing"):
            verify_set(url)

    @pytest.mark.parametrize(
        ("offset", "where"),
        [(0, "at or right after sample 0000010000"), (tar.BLOCK + 200, "sample 0000010001: ")],
        ids=["header", "image"],
    )
    def test_a_flipped_bit_is_found_with_shard_sample_and_remedy(self, folder: Path, offset: int, where: str) -> None:
        path = folder / VICTIM
        data = bytearray(path.read_bytes())
        data[data.index(b"0000010001.png") + offset] ^= 1
        path.write_bytes(data)
        pattern = rf"{VICTIM} has another sha256 \(.*{where}.*synthaug verify --repair"
        with pytest.raises(DamageError, match=pattern) as caught:
            verify_set(folder)
        assert caught.value.exit_code == 3
        assert "train-000000" not in str(caught.value)

    def test_a_change_that_harms_no_sample_is_still_damage(self, folder: Path) -> None:
        path = folder / VICTIM
        data = bytearray(path.read_bytes())
        data[data.index(b"0000010001.cls") + tar.BLOCK + 100] ^= 1  # behind the class, where nobody reads
        path.write_bytes(data)
        with pytest.raises(
            DamageError, match=r"another sha256 \(all its samples can be read and are those of the plan"
        ):
            verify_set(folder)

    @pytest.mark.parametrize("change", [-1, 1, 512])
    def test_a_wrong_size_is_found_with_both_sizes(self, folder: Path, change: int) -> None:
        path = folder / "train-000000.tar"
        whole = path.read_bytes()
        path.write_bytes(whole[:change] if change < 0 else whole + bytes(change))
        found = rf"train-000000\.tar has {len(whole) + change} bytes instead of {len(whole)}"
        with pytest.raises(DamageError, match=found):
            verify_set(folder)

    def test_all_damage_is_named_at_once(self, folder: Path) -> None:
        (folder / "train-000000.tar").unlink()
        (folder / "train-000002.tar").write_bytes(b"")
        with pytest.raises(DamageError, match=r"000000\.tar is missing; train-000002\.tar has 0 bytes"):
            verify_set(folder)
        found = find_damage(folder_at(folder), Manifest.read(folder))
        assert [damage.shard for damage in found] == ["train-000000.tar", "train-000002.tar"]
        assert found[0] == ShardDamage("train-000000.tar", "is missing")

    def test_swapped_shards_are_found(self, folder: Path) -> None:
        first, second = folder / "train-000000.tar", folder / VICTIM
        assert first.stat().st_size == second.stat().st_size
        data = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(data)
        with pytest.raises(DamageError, match=rf"000000\.tar has another sha256 .*{VICTIM} has another sha256"):
            verify_set(folder)

    @pytest.mark.parametrize("name", ["train-000003.tar", "test-000000.tar", "x.tar"])
    def test_a_tar_that_is_not_listed_is_found(self, folder: Path, name: str) -> None:
        (folder / name).write_bytes((folder / VICTIM).read_bytes())
        with pytest.raises(DamageError, match=f"{name} is not in the manifest; take it out"):
            verify_set(folder)

    def test_a_shard_dropped_from_the_manifest_is_found(self, folder: Path) -> None:
        value = json.loads((folder / MANIFEST_NAME).read_text())
        value["shards"].pop()
        (folder / MANIFEST_NAME).write_text(json.dumps(value))
        with pytest.raises(DamageError, match="the plan has 3 shards, listed are 2"):
            verify_set(folder)
        value["plan"]["per_class"] = 3
        (folder / MANIFEST_NAME).write_text(json.dumps(value))
        with pytest.raises(DamageError, match=r"plan\.json is not the plan of manifest\.json"):
            verify_set(folder)
        (folder / PLAN_NAME).unlink()
        with pytest.raises(DamageError, match=r"train-000002\.tar is not in the manifest"):
            verify_set(folder)

    @pytest.mark.parametrize("change", [{"seed": 5}, {"steps": 9}, {"class_names": ["dog", "cat"]}, {"batch_size": 1}])
    def test_a_changed_plan_is_found(self, folder: Path, change: dict[str, Any]) -> None:
        value = json.loads((folder / PLAN_NAME).read_text())
        (folder / PLAN_NAME).write_text(json.dumps({**value, **change}))
        with pytest.raises(DamageError, match=r"plan\.json is not the plan of manifest\.json"):
            verify_set(folder)

    def test_a_plan_is_not_needed_beside_the_manifest(self, folder: Path) -> None:
        (folder / PLAN_NAME).unlink()
        assert verify_set(folder, deep=True).samples == 8

    def test_a_set_without_a_manifest_cannot_be_verified(self, folder: Path) -> None:
        (folder / MANIFEST_NAME).unlink()
        with pytest.raises(InputError, match="is unfinished"):
            verify_set(folder)

    def test_verifying_changes_nothing(self, folder: Path) -> None:
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        verify_set(folder, deep=True)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


KEY = "0000010001"


class TestAgainstThePlan:
    """Shards whose sizes and hashes agree with a manifest that was written after the change."""

    def test_a_rewritten_shard_without_changes_is_the_same_shard(self, folder: Path) -> None:
        before = (folder / VICTIM).read_bytes()
        rewrite(folder, lambda _: None)
        assert (folder / VICTIM).read_bytes() == before
        verify_set(folder, deep=True)

    @pytest.mark.parametrize(
        ("edit", "reason"),
        [
            (lambda members: members.update({f"{KEY}.cls": b"1"}), "of class 1 is not what the plan has there"),
            (lambda members: members.update({f"{KEY}.json": b"{}"}), "has another description than the plan's"),
            (
                lambda members: members.update(
                    {f"{KEY}.json": members[f"{KEY}.json"].replace(b'"index": 2', b'"index": 3')}
                ),
                "has another description than the plan's",
            ),
            (lambda members: members.pop(f"{KEY}.json"), "has another description than the plan's"),
            (
                lambda members: members.update({f"{KEY}.png": encode_png(random_pixels(3, 9, 9))}),
                "is 9x9 instead of 8x8",
            ),
            (
                lambda members: members.update({f"{KEY}.png": encode_png(random_pixels(3, 8, 7))}),
                "is 7x8 instead of 8x8",
            ),
            (lambda members: members.update({f"{KEY}.png": b"\x89PNG"}), "not a readable PNG/WEBP/JPEG image"),
            (
                lambda members: members.update({f"{KEY}.png": members[f"{KEY}.png"][:-20]}),
                "damaged or truncated image",
            ),
        ],
        ids=["class", "json", "index", "no-json", "size", "shape", "no-image", "cut-image"],
    )
    def test_content_that_is_not_the_plans_is_found_by_looking_deep(
        self, folder: Path, edit: Callable[[dict[str, bytes]], object], reason: str
    ) -> None:
        rewrite(folder, edit)
        verify_set(folder)
        with pytest.raises(DamageError, match=rf"{VICTIM} does not hold what the plan says \(sample {KEY}.*{reason}"):
            verify_set(folder, deep=True)

    def test_samples_in_another_order_are_found(self, folder: Path) -> None:
        def swap(members: dict[str, bytes]) -> None:
            items = list(members.items())
            members.clear()
            members.update(dict(items[3:6] + items[:3] + items[6:]))

        rewrite(folder, swap)
        with pytest.raises(DamageError, match=f"sample {KEY} of class 0 is not what the plan has there"):
            verify_set(folder, deep=True)

    def test_a_sample_too_few_is_found(self, folder: Path) -> None:
        def drop_last(members: dict[str, bytes]) -> None:
            for suffix in ("png", "cls", "json"):
                members.pop(f"0000010002.{suffix}")

        rewrite(folder, drop_last)
        with pytest.raises(DamageError, match="it ends after sample 2 of 3"):
            verify_set(folder, deep=True)

    def test_a_sample_too_many_is_found(self, folder: Path) -> None:
        def add(members: dict[str, bytes]) -> None:
            members.update({f"0000010003.{suffix}": members[f"{KEY}.{suffix}"] for suffix in ("png", "cls", "json")})

        rewrite(folder, add)
        with pytest.raises(DamageError, match="sample 0000010003 is more than the plan has"):
            verify_set(folder, deep=True)

    def test_another_seed_or_sampler_is_another_set(self, folder: Path) -> None:
        manifest = Manifest.read(folder)
        for change in ({"seed": 9}, {"sampler": "other"}, {"steps": 7}):
            manifest.model_copy(update={"plan": manifest.plan.model_copy(update=change)}).write(folder_at(folder))
            (folder / PLAN_NAME).unlink(missing_ok=True)
            verify_set(folder)
            with pytest.raises(DamageError, match="has another description than the plan's"):
                verify_set(folder, deep=True)

    def test_an_image_in_another_format_is_found(self, make_shard_set) -> None:
        folder = make_shard_set(image_format="webp")
        manifest = Manifest.read(folder)
        plan = manifest.plan.model_copy(update={"image_format": "png"})
        (folder / PLAN_NAME).unlink()
        manifest.model_copy(update={"plan": plan}).write(folder_at(folder))
        with pytest.raises(DamageError, match="does not hold what the plan says"):
            verify_set(folder, deep=True)


class TestFormer:
    """Sets of format 4, which have one score less."""

    def test_they_pass(self, folder: Path) -> None:
        now = verify_set(folder, deep=True)
        former = verify_set(in_format_4(folder), deep=True)
        assert b"relative_train_distance" not in (folder / VICTIM).read_bytes()
        assert (former.samples, former.class_counts) == (now.samples, now.class_counts)

    @pytest.mark.parametrize("set_format", [4, 5])
    def test_shards_of_the_other_format_are_not_the_sets(self, make_shard_set, set_format: int) -> None:
        now, former = make_shard_set("now"), in_format_4(make_shard_set("former"))
        ours, theirs = (former, now) if set_format == 4 else (now, former)
        (ours / VICTIM).write_bytes((theirs / VICTIM).read_bytes())
        rewrite(ours, lambda _: None)
        verify_set(ours)
        detail = "" if set_format == 4 else ", but that of format 4"
        pattern = rf"{VICTIM} does not hold .*sample 0000010000 has another description than the plan's{detail}\)"
        with pytest.raises(DamageError, match=pattern):
            verify_set(ours, deep=True)


class TestContents:
    """What a shard holds of its plan, as asked when a set is continued."""

    def test_a_shard_of_a_smaller_set_counts_what_it_holds(self, tmp_path: Path) -> None:
        plan = plan_of(per_class=2, shard_size=6)
        write_shard(folder_at(tmp_path), plan.shard(0), encode_images(random_pixels(4, 3, 8, 8), "png"))
        assert check_contents(folder_at(tmp_path), plan.shard(0)) == 4
        assert check_contents(folder_at(tmp_path), plan.model_copy(update={"per_class": 10}).shard(0)) == 4
        with pytest.raises(DamageError, match="sample 0000000002 is more than the plan has"):
            check_contents(folder_at(tmp_path), plan.model_copy(update={"per_class": 1}).shard(0))

    def test_a_cut_shard_is_named_with_the_sample_it_ends_at(self, folder: Path) -> None:
        path = folder / VICTIM
        path.write_bytes(path.read_bytes()[: -3 * tar.BLOCK])
        with pytest.raises(DamageError, match=rf"{VICTIM}: cut short .*sample 0000010002"):
            check_contents(folder_at(folder), Manifest.read(folder).plan.shard(1))
