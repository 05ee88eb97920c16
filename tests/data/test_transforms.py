import itertools
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthaug.core.errors import InputError
from synthaug.core.seeding import generator_for
from synthaug.data.transform_presets import PRESETS, cutout, import_albumentations, survey
from synthaug.data.transforms import SampleTransform, load_transforms, preset_transform

A = import_albumentations()
EXAMPLE = Path(__file__).parents[2] / "examples" / "transforms.yaml"


def sample_transform(*transforms: Any) -> SampleTransform:
    return SampleTransform(A.Compose(list(transforms)))


def draws(transform: SampleTransform, image: Tensor, count: int) -> Tensor:
    return torch.stack([transform(image, seed) for seed in range(count)])


def jitter() -> SampleTransform:
    """Every kind of nesting, and transforms that draw from either of albumentations' generators."""
    choice = A.OneOf([A.GaussNoise(p=1), A.Sequential([A.CoarseDropout(p=1), A.ColorJitter(p=0.5)], p=0.7)], p=0.9)
    return sample_transform(A.SomeOf([A.HorizontalFlip(), A.Affine(rotate=(-30, 30), p=1), choice], n=2), choice)


def is_plausible(count: float, expected: float) -> bool:
    """Whether a Poisson count is within 5 standard deviations of what it should be."""
    return abs(count - expected) < 5 * expected**0.5


@pytest.mark.parametrize("preset", PRESETS.names())
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 5, 5), (3, 20, 20)])
def test_shape_type_and_input_are_kept(preset: str, shape: tuple[int, int, int], make_pixels) -> None:
    image = make_pixels(*shape)
    before = image.clone()
    changed = draws(preset_transform(preset, image_size=shape[-1], allows_flip=True), image, 30)
    assert changed.shape == (30, *shape)
    assert changed.dtype == torch.uint8
    assert torch.equal(image, before)


def test_a_transform_that_works_in_place_leaves_a_grey_input_as_it_is(make_pixels) -> None:
    image = make_pixels(1, 32, 32)
    before = image.clone()
    changed = sample_transform(A.Equalize(mode="pil", p=1))(image, 0)
    assert not torch.equal(changed, before)
    assert torch.equal(image, before)


@settings(max_examples=30)
@given(st.integers(0, 2**63 - 1), st.lists(st.integers(0, 2**63 - 1), max_size=3))
def test_a_result_depends_on_image_and_seed_and_not_on_what_ran_before(seed: int, others: list[int]) -> None:
    image = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8, generator=generator_for("t"))
    transform = jitter()
    expected = transform(image, seed)
    for other in others:
        transform(image.flip(1), other)
    assert torch.equal(transform(image, seed), expected)
    assert torch.equal(jitter()(image, seed), expected)


@pytest.mark.parametrize("preset", PRESETS.names())
def test_a_pickled_transform_draws_the_same(preset: str, make_pixels) -> None:
    image = make_pixels(3, 16, 16)
    transform = preset_transform(preset, image_size=16, allows_flip=True)
    expected = draws(transform, image, 40)
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(draws(copy, image, 40), expected)
    assert torch.equal(draws(transform, image, 40), expected)


@pytest.mark.parametrize("preset", ["basic", "survey", "strong"])
def test_different_seeds_differ(preset: str, make_pixels) -> None:
    changed = draws(preset_transform(preset, image_size=32, allows_flip=True), make_pixels(3, 32, 32), 60)
    distinct = len({image.numpy().tobytes() for image in changed})
    assert distinct > (30 if preset == "basic" else 55)


def test_high_bits_of_a_seed_count(make_pixels) -> None:
    image, transform = make_pixels(3, 16, 16), sample_transform(A.GaussNoise(p=1), A.Affine(rotate=(-90, 90), p=1))
    assert not torch.equal(transform(image, 5), transform(image, 5 + 2**62))
    assert not torch.equal(transform(image, 5), transform(image, 5 + 2**32))


def test_two_transforms_of_one_pipeline_are_independent(make_pixels) -> None:
    image = make_pixels(1, 8, 8)
    changed = draws(sample_transform(A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)), image, 400)
    for dims in ((), (-1,), (-2,), (-1, -2)):
        assert is_plausible(int((changed == image.flip(dims)).flatten(1).all(1).sum()), 100)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_transform_of_albumentations_depends_on_the_seed_alone(make_pixels) -> None:
    image, other = make_pixels(3, 32, 32), make_pixels(3, 32, 32, seed=1)
    tried = 0
    for name, kind in sorted(A.core.serialization.SERIALIZABLE_REGISTRY.items()):
        try:
            transform = sample_transform(kind(p=1))
            expected = transform(image, 7)
        except Exception:
            continue  # needs arguments, boxes or masks, or gives another shape
        transform(other, 8)
        assert torch.equal(transform(image, 7), expected), name
        tried += 1
    assert tried > 60


def test_none_gives_the_image_as_it_is(make_pixels) -> None:
    image = make_pixels(3, 8, 8)
    assert torch.equal(preset_transform("none", image_size=8, allows_flip=True)(image, 3), image)


@pytest.mark.parametrize(("allows_flip", "ways"), [(False, 1), (True, 2)])
def test_basic_gives_every_crop_and_if_allowed_every_mirror_image_equally_often(
    allows_flip: bool, ways: int, make_pixels
) -> None:
    image = make_pixels(3, 16, 16)
    padded = F.pad(image, (2,) * 4)
    crops = [padded[:, top : top + 16, left : left + 16] for top, left in itertools.product(range(5), repeat=2)]
    expected = [*crops, *(crop.flip(-1) for crop in crops)][: 25 * ways]
    changed = draws(preset_transform("basic", image_size=16, allows_flip=allows_flip), image, 100 * len(expected))
    counts = [int((changed == crop).flatten(1).all(1).sum()) for crop in expected]
    assert sum(counts) == len(changed)
    assert all(is_plausible(count, 100) for count in counts)


def test_survey_turns_by_angles_uniform_up_to_15_degrees_either_way_and_fills_with_zeros() -> None:
    image = torch.zeros(1, 65, 65, dtype=torch.uint8)
    image[0, 31:34, 61:64] = 255  # 30 pixels to the right of the centre
    changed = draws(sample_transform(survey(65, False)[-1]), image, 1000)[:, 0].double()
    offsets = torch.arange(65.0).double() - 32
    weights = changed.sum((1, 2))
    x, y = (changed.sum(1) * offsets).sum(1) / weights, (changed.sum(2) * offsets).sum(1) / weights
    degrees = torch.rad2deg(torch.atan2(y, x))
    assert degrees.abs().max() == pytest.approx(15, abs=0.15)
    assert degrees.sort().values.sub(torch.linspace(-15, 15, 1000)).abs().max() < 30 * 1.63 / 1000**0.5  # 1 %: KS
    assert (x.hypot(y) - 30).abs().max() < 0.1
    corners = draws(sample_transform(survey(65, False)[-1]), torch.full((1, 65, 65), 255, dtype=torch.uint8), 50)
    assert corners[:, 0, 0, 0].eq(0).float().mean() > 0.8


@pytest.mark.parametrize("size", [8, 9])
def test_cutout_puts_one_clipped_square_of_zeros_around_every_pixel_equally_often(size: int) -> None:
    side = size // 2
    squares = []
    for top, left in itertools.product(range(-(side // 2), size - side // 2), repeat=2):
        square = torch.full((1, size, size), 255, dtype=torch.uint8)
        square[:, max(0, top) : top + side, max(0, left) : left + side] = 0
        squares.append(square)
    white = torch.full((1, size, size), 255, dtype=torch.uint8)
    changed = draws(sample_transform(*cutout(size)), white, 40 * len(squares))
    counts = [int((changed == square).flatten(1).all(1).sum()) for square in squares]
    assert sum(counts) == len(changed)
    assert all(is_plausible(count, 40) for count in counts)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown transform preset 'heavy'; known: basic, none, strong, survey"):
        preset_transform("heavy", image_size=8, allows_flip=True)


def loaded(path: Path, content: Any, *, size: int = 16, channels: int = 3) -> Any:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_transforms(path, image_size=size, channels=channels, allows_flip=False)


def serialised(*transforms: Any, **options: Any) -> dict[str, Any]:
    return A.to_dict(A.Compose(list(transforms), **options))


def written(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"transform": {"__class_fullname__": "Compose", "p": 1.0, "transforms": list(nodes)}}


def test_the_example_has_a_pipeline_for_real_images_and_a_preset_for_synthetic_ones(make_pixels) -> None:
    image = make_pixels(3, 32, 32)
    transforms = load_transforms(EXAMPLE, image_size=32, channels=3, allows_flip=True)
    basic = preset_transform("basic", image_size=32, allows_flip=True)
    assert torch.equal(draws(transforms.synthetic, image, 20), draws(basic, image, 20))
    plain = {crop.numpy().tobytes() for crop in draws(basic, image, 500)}
    is_jittered = [crop.numpy().tobytes() not in plain for crop in draws(transforms.real, image, 100)]
    assert 60 < sum(is_jittered) < 100


@pytest.mark.parametrize("data_format", ["yaml", "json"])
def test_what_albumentations_saves_is_what_both_origins_get(data_format: str, tmp_path: Path, make_pixels) -> None:
    nested = A.OneOf([A.GaussNoise(p=1), A.Sequential([A.Affine(rotate=20, shear=(-5, 5), p=1)], p=1)], p=0.5)
    pipeline = A.Compose([A.RandomCrop(16, 16, pad_if_needed=True, p=1), nested, A.Posterize(num_bits=(2, 4), p=0.5)])
    A.save(pipeline, tmp_path / "saved.yaml", data_format=data_format)
    transforms = load_transforms(tmp_path / "saved.yaml", image_size=16, channels=3, allows_flip=True)
    image = make_pixels(3, 16, 16)
    expected = draws(SampleTransform(pipeline), image, 30)
    assert torch.equal(draws(transforms.real, image, 30), expected)
    assert torch.equal(draws(transforms.synthetic, image, 30), expected)


def test_an_origin_that_is_missing_stays_as_it_is(tmp_path: Path, make_pixels) -> None:
    image = make_pixels(3, 16, 16)
    transforms = loaded(tmp_path / "t.yaml", {"real": serialised(A.InvertImg(p=1))})
    assert torch.equal(transforms.synthetic(image, 1), image)
    assert torch.equal(transforms.real(image, 1), 255 - image)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transform_that_albumentations_only_advises_against_is_accepted(
    channels: int, tmp_path: Path, make_pixels
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = serialised(A.ShiftScaleRotate(p=1))
    transforms = loaded(tmp_path / "t.yaml", content, channels=channels)
    image = make_pixels(channels, 16, 16)
    results = draws(transforms.real, image, 5)
    assert results[0].shape == image.shape
    assert not any(torch.equal(result, image) for result in results)


FLIP = {"__class_fullname__": "HorizontalFlip", "p": 0.5}
REFUSED = {
    "no mapping": ([1, 2], "with the keys real and synthetic; found a list"),
    "nothing": ("", "found a NoneType"),
    "not YAML": ("real: [basic", r"t\.yaml: a YAML file of transforms is needed, found .*line 1"),
    "a tag": ("real: !!python/object/apply:os.system [ls]", "found could not determine a constructor"),
    "an unknown key": ({"real": "basic", "fake": "basic"}, "found the keys fake, real"),
    "an unknown preset": ({"real": "heavy"}, r"t\.yaml: real: unknown transform preset 'heavy'; known: basic"),
    "no pipeline": ({"synthetic": 3}, r"t\.yaml: synthetic: the name of a preset or a pipeline .* found int '3'"),
    "an unknown class": (written({**FLIP, "__class_fullname__": "HorizontalFlop"}), "'HorizontalFlop'; near: Horiz"),
    "code": (written({**FLIP, "__class_fullname__": "os.system"}), r"unknown transform 'os\.system'; near: none"),
    "no class": (written({"p": 1}), r"every transform needs its __class_fullname__; found \"\{'p': 1\}\""),
    "a function": (written({**FLIP, "__class_fullname__": "Lambda"}), "a file can hold is needed, found Lambda"),
    "no probability": (written({"__class_fullname__": "Transpose"}), "accept Transpose: .* no 'p' parameter"),
    "an unknown argument": (written({**FLIP, "much": 2}), "HorizontalFlip has no argument much; it has p$"),
    "a bad argument": (
        written({**FLIP, "__class_fullname__": "Solarize", "threshold_range": [0, 7]}),
        "accept Solarize: .*threshold_ran",
    ),
    "an argument out of range": (
        written({**FLIP, "__class_fullname__": "Blur", "blur_limit": [4, 6]}),
        "accept Blur: .* must be odd",
    ),
    "an unknown option": (
        {"transform": {**written(FLIP)["transform"], "much": 2}},
        "Compose has no argument much; it has .*strict",
    ),
    "no list": ({"transform": {"__class_fullname__": "Compose", "transforms": 7}}, "every transform needs"),
    "an abstract class": (
        written({**FLIP, "__class_fullname__": "BasicTransform"}),
        "accept BasicTransform: NotImplementedError",
    ),
    "boxes": (serialised(A.HorizontalFlip(), bbox_params=A.BboxParams("yolo", label_fields=[])), "found bbox_params"),
    "points": (serialised(A.HorizontalFlip(), keypoint_params=A.KeypointParams("xy")), "no boxes, keypoints or masks"),
    "a mask": (serialised(A.MaskDropout(p=1)), r"without boxes or masks, is needed; .* requires \['mask'\]"),
    "other images": (serialised(A.Mosaic(p=1)), "without boxes or masks, is needed; .* Mosaic requires"),
    "floats": (
        serialised(A.Normalize(p=1)),
        "uint8 pixels, found float32; leave out Normalize and ToTensorV2: batches",
    ),
    "rarely floats": (serialised(A.ToFloat(p=0.2)), "uint8 pixels, found float32"),
    "a tensor": (serialised(A.ToTensorV2(p=1)), "found torch.uint8; leave out Normalize and ToTensorV2"),
    "another size": (
        serialised(A.Resize(8, 8, p=1)),
        r"shape \(3, 16, 16\) .* found \(3, 8, 8\); resizing is not done",
    ),
    "a crop too large": (serialised(A.RandomCrop(32, 32, p=1)), "it failed: Crop size .*exceeds image dimensions"),
    "fewer channels": (serialised(A.ToGray(num_output_channels=1, p=1)), r"found \(1, 16, 16\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_file_of_pipelines_for_images_is_refused_in_one_paragraph(case: str, tmp_path: Path) -> None:
    content, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as caught:
        loaded(tmp_path / "t.yaml", content)
    assert str(caught.value).startswith(str(tmp_path / "t.yaml"))
    assert "\n" not in str(caught.value)


def test_a_transform_of_colours_is_refused_for_grey_images(tmp_path: Path) -> None:
    content = serialised(A.ChannelDropout(p=0.5))
    loaded(tmp_path / "t.yaml", content, channels=3)
    with pytest.raises(
        InputError, match=r"for images of shape \(1, 16, 16\) alone, .* it failed: Images has one channel"
    ):
        loaded(tmp_path / "t.yaml", content, channels=1)
    with pytest.raises(InputError, match=r"already gray"):
        loaded(tmp_path / "t.yaml", serialised(A.ToGray(p=1)), channels=1)


def test_a_missing_folder_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: a readable YAML file of transforms is needed \(No such file"):
        load_transforms(tmp_path / "none.yaml", image_size=8, channels=3, allows_flip=True)
    with pytest.raises(InputError, match=r"readable YAML file of transforms is needed \(Is a directory"):
        load_transforms(tmp_path, image_size=8, channels=3, allows_flip=True)
    (tmp_path / "t.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="found bytes that are not text"):
        load_transforms(tmp_path / "t.yaml", image_size=8, channels=3, allows_flip=True)


def test_a_pipeline_that_rarely_changes_the_shape_says_so_during_training(make_pixels) -> None:
    transform = sample_transform(A.Resize(8, 8, p=1))
    with pytest.raises(InputError, match="transforms must keep the shape"):
        transform(make_pixels(3, 16, 16), 0)
