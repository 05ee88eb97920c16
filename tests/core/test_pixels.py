import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from synthaug.core.errors import InputError
from synthaug.core.pixels import (
    MAX_PIXELS,
    decode_image,
    encode_png,
    fit_square,
    from_pil,
    grid,
    to_network,
    to_pil,
    to_storage,
)

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")


def file_of(picture: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_every_stored_value_survives_the_network_range() -> None:
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    floats = to_network(values)
    assert floats.dtype == torch.float32
    assert (floats.min(), floats.max()) == (-1.0, 1.0)
    assert torch.equal(to_storage(floats), values)


def test_network_values_are_evenly_spaced() -> None:
    values = to_network(torch.arange(256, dtype=torch.uint8).reshape(1, 1, 1, 256)).flatten()
    torch.testing.assert_close(values, torch.linspace(-1, 1, 256))


def test_storage_clips_what_lies_outside_and_rounds_to_nearest() -> None:
    floats = torch.tensor([-9.0, -1.0, 1.0, 9.0, -1.0 + 0.49 / 127.5, -1.0 + 0.51 / 127.5]).reshape(1, 1, 1, 6)
    assert to_storage(floats).flatten().tolist() == [0, 0, 255, 255, 0, 1]


def test_bfloat16_is_stored_without_losing_the_extremes() -> None:
    floats = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.bfloat16).reshape(1, 1, 1, 3)
    assert to_storage(floats).flatten().tolist() == [0, 128, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_png_keeps_every_pixel(channels: int, make_pixels) -> None:
    image = make_pixels(channels, 9, 7)
    picture = decode_image(encode_png(image), name="x.png")
    assert picture.mode == ("L" if channels == 1 else "RGB")
    assert torch.equal(from_pil(picture, channels), image)


def test_png_has_the_same_bytes_every_time(make_pixels) -> None:
    assert encode_png(make_pixels(3, 8, 8)) == encode_png(make_pixels(3, 8, 8))


def test_png_carries_text(make_pixels) -> None:
    data = encode_png(make_pixels(3, 8, 8), text=[("Model", "ddpm"), ("Seed", "1")])
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.info == {"Model": "ddpm", "Seed": "1"}


def test_grey_becomes_rgb_with_equal_channels_and_back(make_pixels) -> None:
    image = make_pixels(1, 5, 5)
    rgb = from_pil(to_pil(image), 3)
    assert torch.equal(rgb, image.expand(3, 5, 5))
    assert torch.equal(from_pil(to_pil(rgb), 1), image)


@pytest.mark.parametrize(
    ("mode", "decoded"), [("1", "L"), ("L", "L"), ("LA", "L"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGB")]
)
def test_every_mode_decodes_to_grey_or_rgb(mode: str, decoded: str) -> None:
    data = file_of(Image.new("RGB", (3, 2), (255, 255, 255)).convert(mode))
    picture = decode_image(data, name="x.png")
    assert (picture.mode, picture.size) == (decoded, (3, 2))
    assert from_pil(picture, 3).min() == 255


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.arange(16, dtype=np.uint16).reshape(4, 4) * 4096 + 4095
    picture = decode_image(file_of(Image.fromarray(values)), name="x.png")
    assert np.array_equal(np.asarray(picture), values // 256)


def test_thirty_two_bits_are_refused() -> None:
    data = file_of(Image.fromarray(np.zeros((4, 4), dtype=np.float32)), "TIFF")
    with pytest.raises(InputError, match=r"x\.tif: 8 or 16 bits"):
        decode_image(data, name="x.tif", formats=FORMATS)


def test_only_the_named_formats_are_decoded(make_pixels) -> None:
    data = file_of(to_pil(make_pixels(3, 4, 4)), "BMP")
    assert decode_image(data, name="x", formats=("PNG", "BMP")).size == (4, 4)
    with pytest.raises(InputError, match="x: not a readable PNG image"):
        decode_image(data, name="x")


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    width = 9000
    assert width * width > MAX_PIXELS
    with pytest.raises(InputError, match=f"bomb: at most {MAX_PIXELS} pixels are accepted, found 9000x9000"):
        decode_image(png_that_claims(width, width), name="bomb")
    with pytest.raises(InputError, match=r"^bomb: "):
        decode_image(png_that_claims(2**31 - 1, 2**31 - 1), name="bomb")


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_give_an_input_error_or_a_picture(kind: str, make_pixels) -> None:
    data = file_of(to_pil(make_pixels(3, 6, 6)), kind)
    cut = [data[:length] for length in range(0, len(data), 3)]
    flipped = [data[:at] + bytes([data[at] ^ 0x81]) + data[at + 1 :] for at in range(0, min(len(data), 400), 2)]
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of some damage before it refuses.
        for damaged in cut + flipped:
            try:
                assert decode_image(damaged, name="x", formats=FORMATS).mode in ("L", "RGB")
            except InputError:
                refused += 1
    assert refused > len(cut) // 2


@pytest.mark.parametrize("columns", [1, 2, 4, 5])
def test_a_grid_shows_every_image_in_its_cell_on_white(columns: int, make_pixels) -> None:
    images, scale, gap = make_pixels(5, 3, 4, 4), 2, 3
    canvas = grid(images, columns, scale=scale, gap=gap)
    rows, cell = -(-5 // columns), 4 * scale + gap
    assert canvas.shape == (3, rows * cell + gap, columns * cell + gap)
    remaining = canvas.clone()
    for position, image in enumerate(images):
        top, left = gap + position // columns * cell, gap + position % columns * cell
        shown = canvas[:, top : top + 4 * scale, left : left + 4 * scale]
        assert torch.equal(shown[:, ::scale, ::scale], image)
        assert torch.equal(shown[:, 1::scale, 1::scale], image)
        remaining[:, top : top + 4 * scale, left : left + 4 * scale] = 255
    assert remaining.min() == 255


def test_fitting_crops_the_centre(make_pixels) -> None:
    image = make_pixels(3, 4, 8)
    assert torch.equal(from_pil(fit_square(to_pil(image), 4), 3), image[:, :, 2:6])


def test_fitting_resizes_to_the_asked_size() -> None:
    picture = fit_square(Image.new("RGB", (30, 20), (10, 200, 30)), 8)
    assert picture.size == (8, 8)
    assert picture.getcolors() == [(64, (10, 200, 30))]


def test_fitting_a_square_of_the_right_size_changes_nothing(make_pixels) -> None:
    image = make_pixels(3, 8, 8)
    assert torch.equal(from_pil(fit_square(to_pil(image), 8), 3), image)


def test_a_picture_is_turned_as_its_camera_noted() -> None:
    picture = Image.new("L", (4, 2), 0)
    picture.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", exif=exif)
    upright = decode_image(buffer.getvalue(), name="x")
    assert upright.size == (2, 4)
    assert upright.getpixel((1, 0)) == 255
