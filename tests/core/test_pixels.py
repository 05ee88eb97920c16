import contextlib
import io
import random
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from synthaug.core.errors import InputError
from synthaug.core.pixels import (
    MAX_PIXELS,
    channel_statistics,
    decode_image,
    decode_pixels,
    encode_png,
    encode_webp,
    fit_square,
    from_pil,
    grid,
    standardise,
    to_network,
    to_pil,
    to_storage,
)

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")


def file_of(picture: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def png_of(width: int, height: int, colour: int, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of 8 bits a channel with the given chunks between its first and its last."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def png_that_claims(width: int, height: int) -> bytes:
    return png_of(width, height, 0, (b"IDAT", zlib.compress(b"")))


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


@pytest.mark.parametrize("xmp", [b"", b"<x:xmpmeta/>"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("encode", "kind"), [(encode_png, "PNG"), (encode_webp, "WEBP")])
class TestEncoding:
    @pytest.mark.parametrize("shape", [(1, 1), (9, 7), (8, 8), (3, 70)])
    def test_every_pixel_is_kept(self, encode, kind: str, channels: int, xmp: bytes, shape, make_pixels) -> None:
        image = make_pixels(channels, *shape)
        picture = decode_image(encode(image, xmp=xmp), name="x", formats=(kind,))
        assert picture.mode == ("L" if channels == 1 and kind == "PNG" else "RGB")
        assert torch.equal(from_pil(picture, channels), image)

    def test_the_bytes_are_the_same_every_time(self, encode, kind: str, channels: int, xmp: bytes, make_pixels) -> None:
        image = make_pixels(channels, 8, 8)
        assert encode(image, xmp=xmp) == encode(image.clone(), xmp=xmp)

    def test_an_xmp_packet_is_carried_and_nothing_else(
        self, encode, kind: str, channels: int, xmp: bytes, make_pixels
    ) -> None:
        with Image.open(io.BytesIO(encode(make_pixels(channels, 8, 8), xmp=xmp))) as picture:
            assert picture.format == kind
            assert picture.info.get("xmp", b"") == xmp
            assert picture.info.keys() - {"xmp", "XML:com.adobe.xmp"} <= {"loop", "background"}


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


@pytest.mark.parametrize("content", ["noise", "flat"])
@pytest.mark.parametrize("size", [4, 40])
def test_any_changed_byte_of_a_png_is_found(size: int, content: str, make_pixels) -> None:
    image = make_pixels(3, size, size) if content == "noise" else make_pixels(3, 1, 1).expand(3, size, size)
    data = encode_png(image, xmp=b"<x:xmpmeta/>")
    for position in range(0, len(data), max(1, len(data) // 300)):
        damaged = data[:position] + bytes([data[position] ^ 0x04]) + data[position + 1 :]
        with pytest.raises(InputError, match=r"^x: (damaged or truncated|not a readable PNG)"):
            decode_image(damaged, name="x")


@pytest.mark.parametrize("length", [0, 1, 8, 33, -1, -4, -12])
def test_a_cut_png_is_refused(length: int, make_pixels) -> None:
    with pytest.raises(InputError, match=r"^x: (damaged or truncated|not a readable PNG)"):
        decode_image(encode_png(make_pixels(3, 8, 8))[:length], name="x")


def test_a_large_png_of_several_chunks_is_decoded(make_pixels) -> None:
    image = make_pixels(3, 300, 300)
    data = encode_png(image)
    assert data.count(b"IDAT") > 1
    assert torch.equal(from_pil(decode_image(data, name="x"), 3), image)


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


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "TIFF"])
def test_a_picture_is_turned_like_pillow_turns_it(kind: str, orientation: int, make_pixels) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    to_pil(make_pixels(3, 6, 9)).save(buffer, format=kind, exif=exif)
    with Image.open(buffer) as picture:
        expected = from_pil(ImageOps.exif_transpose(picture), 3)
    assert torch.equal(from_pil(decode_image(buffer.getvalue(), name="x", formats=(kind,)), 3), expected)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_forged_notes_of_a_camera_give_an_input_error_or_the_picture(kind: str, make_pixels) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A], exif[0x8769] = 6, "Maker", 1.5, {0x9000: b"0232"}
    buffer = io.BytesIO()
    to_pil(make_pixels(3, 6, 6)).save(buffer, format=kind, exif=exif, quality=95)
    data, draw = buffer.getvalue(), random.Random(0)
    start = data.index(b"MM\0*") if b"MM\0*" in data else data.index(b"II*\0")
    decoded = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd notes before it passes over them.
        for _ in range(1500):
            forged = bytearray(data)
            for _ in range(draw.randrange(1, 5)):
                forged[start + draw.randrange(90)] = draw.choice([0, 1, 2, 5, 0x80, 0xFF, draw.randrange(256)])
            if kind == "PNG":
                chunk = data.index(b"eXIf")
                end = chunk + 4 + int.from_bytes(data[chunk - 4 : chunk], "big")
                forged[end : end + 4] = struct.pack(">I", zlib.crc32(forged[chunk:end]))
            with contextlib.suppress(InputError):
                decode_image(bytes(forged), name="x", formats=(kind,))
                decoded += 1
    assert decoded > 500


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


def test_standardised_images_have_mean_zero_and_deviation_one(make_pixels) -> None:
    images = make_pixels(20, 3, 8, 8) // torch.tensor([1, 2, 5], dtype=torch.uint8).view(-1, 1, 1)
    mean, deviation = channel_statistics(images)
    torch.testing.assert_close(mean, images.double().mean((0, 2, 3)).float())
    torch.testing.assert_close(deviation, images.double().std((0, 2, 3), correction=0).float())
    standard = standardise(images, mean, deviation)
    torch.testing.assert_close(standard.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(standard.std((0, 2, 3), correction=0), torch.ones(3))


def test_a_channel_of_one_value_is_standardised_to_zero() -> None:
    images = torch.full((2, 1, 4, 4), 7, dtype=torch.uint8)
    assert not standardise(images, *channel_statistics(images)).any()


# --- the short way to a picture's pixels gives what the long one does ---


def outcome(decode) -> torch.Tensor | None:
    try:
        return decode()
    except InputError:
        return None


def assert_same_outcome(data: bytes, channels: int) -> torch.Tensor | None:
    short = outcome(lambda: decode_pixels(data, channels, name="x", formats=FORMATS))
    long = outcome(lambda: from_pil(decode_image(data, name="x", formats=FORMATS), channels))
    assert (short is None) == (long is None)
    assert short is None or torch.equal(short, long)
    return short


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_kind_of_picture_has_the_same_pixels_either_way(mode: str, channels: int, make_pixels) -> None:
    picture = to_pil(make_pixels(3, 9, 6))
    picture = Image.new("I;16", (6, 9), 4660) if mode == "I;16" else picture.convert(mode)
    for kind in ("TIFF",) if mode == "CMYK" else ("PNG", "TIFF"):
        assert assert_same_outcome(file_of(picture, kind), channels) is not None


def test_our_own_files_take_the_short_way(make_pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthaug.core.pixels.decode_image", lambda *_, **__: pytest.fail("the long way"))
    for channels in (1, 3):
        for xmp in (b"", b"<x:xmpmeta>made by a model</x:xmpmeta>"):
            image = make_pixels(channels, 8, 8)
            assert torch.equal(decode_pixels(encode_png(image, xmp=xmp), channels, name="x"), image)


@pytest.mark.parametrize("note", [b'tiff:Orientation="6"', b""])
def test_an_orientation_in_a_note_is_heeded(note: bytes, make_pixels) -> None:
    image = make_pixels(3, 4, 8)
    data = encode_png(image, xmp=b"<x:xmpmeta " + note + b"/>")
    pixels = assert_same_outcome(data, 3)
    assert pixels is not None
    assert pixels.shape == ((3, 8, 4) if note else (3, 4, 8))


def test_a_transparent_colour_changes_no_pixel(make_pixels) -> None:
    image = make_pixels(1, 4, 4)
    rows = b"".join(b"\0" + bytes(row) for row in image[0].tolist())
    data = png_of(4, 4, 0, (b"tRNS", b"\0\x07"), (b"IDAT", zlib.compress(rows)))
    assert assert_same_outcome(data, 1) is not None


def test_files_whose_checksums_hold_but_not_their_contents_are_refused_either_way(
    capfd: pytest.CaptureFixture[str],
) -> None:
    chance = random.Random(0)
    kinds = ("whole", "cut", "short", "long", "flipped", "in two")
    refused = dict.fromkeys(kinds, 0)
    for number in range(300):
        channels, kind = (1, 3)[number % 2], kinds[number % 6]
        rows = b"".join(bytes([chance.randrange(5)]) + chance.randbytes(8 * channels) for _ in range(8))
        packed = bytearray(zlib.compress({"short": rows[:-5], "long": rows + b"more"}.get(kind, rows)))
        if kind == "cut":
            del packed[-9:]
        if kind == "flipped":
            packed[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
        parts = (packed[:20], packed[20:]) if kind == "in two" else (packed,)
        chunks = [(b"IDAT", bytes(part)) for part in parts]
        found = assert_same_outcome(png_of(8, 8, 0 if channels == 1 else 2, *chunks), channels)
        refused[kind] += found is None
    assert refused["whole"] == refused["in two"] == 0
    assert refused["cut"] == refused["short"] == 50
    assert refused["flipped"] > 40
    capfd.readouterr()  # what libpng says of them
