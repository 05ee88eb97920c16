"""The only place where pixels change their form: uint8 in storage, float in [-1, 1] in networks, PNG in files."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from synthaug.core.errors import InputError

#: No single image may decode to more pixels than this (a guard against decompression bombs).
MAX_PIXELS = 64 * 1024 * 1024


def to_network(images: UInt8[Tensor, "*n c h w"]) -> Float[Tensor, "*n c h w"]:
    """Maps uint8 [0, 255] to float32 [-1, 1]."""
    return images.to(torch.float32).div_(127.5).sub_(1.0)


def standardise(
    images: UInt8[Tensor, "*n c h w"], mean: Float[Tensor, " c"], deviation: Float[Tensor, " c"]
) -> Float[Tensor, "*n c h w"]:
    """Maps uint8 to float32 with the given mean and standard deviation, in units of uint8, taken to 0 and 1.

    Args:
        images: uint8 in [0, 255].
        mean: Of each channel, on the device of the images.
        deviation: Of each channel, above 0.
    """
    return images.to(torch.float32).sub_(mean.view(-1, 1, 1)).div_(deviation.view(-1, 1, 1))


def channel_statistics(images: UInt8[Tensor, "n c h w"]) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Mean and standard deviation of each channel over all pixels, in units of uint8.

    A channel of one value only has the deviation 1, so that it can be divided by.
    """
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)]).double()
    values = torch.arange(256, dtype=torch.float64)
    mean = (counts * values).sum(1) / counts.sum(1)
    variance = (counts * (values - mean[:, None]) ** 2).sum(1) / counts.sum(1)
    deviation = torch.where(variance > 0, variance.sqrt(), 1.0)
    return mean.float(), deviation.float()


def to_storage(images: Float[Tensor, "*n c h w"]) -> UInt8[Tensor, "*n c h w"]:
    """Maps float [-1, 1] to uint8 [0, 255], rounding to nearest; values outside are clipped."""
    return images.to(torch.float32).clamp(-1.0, 1.0).add_(1.0).mul_(127.5).round_().to(torch.uint8)


def grid(
    images: UInt8[Tensor, "n c h w"], columns: int, *, scale: int = 1, gap: int = 1
) -> UInt8[Tensor, "c grid_h grid_w"]:
    """Lays images out row by row on white, each magnified `scale` times without smoothing.

    Args:
        images: Images to show; the last row may stay short.
        columns: Images per row.
        scale: Whole magnification factor.
        gap: White pixels around each image.
    """
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    cell_height, cell_width = height * scale + gap, width * scale + gap
    canvas = torch.full((channels, rows * cell_height + gap, columns * cell_width + gap), 255, dtype=torch.uint8)
    magnified = images.cpu().repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    for position, image in enumerate(magnified):
        top = gap + (position // columns) * cell_height
        left = gap + (position % columns) * cell_width
        canvas[:, top : top + height * scale, left : left + width * scale] = image
    return canvas


def to_pil(image: UInt8[Tensor, "c h w"]) -> Image.Image:
    """A grey (mode L) or RGB picture of one image."""
    array = image.cpu().numpy()
    return Image.fromarray(array[0] if array.shape[0] == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))


def encode_png(image: UInt8[Tensor, "c h w"], *, xmp: bytes = b"") -> bytes:
    """The PNG file of one image, the same bytes every time.

    Args:
        image: Grey or RGB.
        xmp: An XMP packet to embed.
    """
    import cv2

    array = image.cpu().numpy()
    # OpenCV takes blue first. Its encoder lets other threads go on, and is twice as fast as Pillow's.
    pixels = array[0] if array.shape[0] == 1 else np.ascontiguousarray(array[::-1].transpose(1, 2, 0))
    data = cv2.imencode(".png", pixels)[1].tobytes()
    if not xmp:
        return data
    return data[:_AFTER_IHDR] + _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp) + data[_AFTER_IHDR:]


#: Signature (8 bytes) and the header chunk (25 bytes) come first in every PNG.
_AFTER_IHDR = 33


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def encode_webp(image: UInt8[Tensor, "c h w"], *, xmp: bytes = b"") -> bytes:
    """The lossless WebP file of one image, the same bytes every time; about two thirds of its PNG.

    Args:
        image: Grey or RGB; WebP stores grey as RGB.
        xmp: An XMP packet to embed.
    """
    buffer = io.BytesIO()
    to_pil(image).convert("RGB").save(buffer, format="WEBP", lossless=True, method=0, quality=50, xmp=xmp)
    return buffer.getvalue()


def decode_image(data: bytes, *, name: str, formats: Sequence[str] = ("PNG",)) -> Image.Image:
    """Decodes one picture, upright, with a bound on its pixels; grey stays grey, everything else becomes RGB.

    Args:
        data: The file's bytes.
        name: What to call the file in an error.
        formats: Pillow format names that are acceptable.

    Raises:
        InputError: If the bytes are not such a picture, are cut short, or hold more than `MAX_PIXELS` pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=list(formats)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise InputError(
                    f"{name}: at most {MAX_PIXELS} pixels are accepted, found {picture.width}x{picture.height}"
                )
            if picture.format == "PNG" and not _has_intact_chunks(data):
                raise InputError(f"{name}: damaged or truncated image (the checksum of a chunk is wrong)")
            picture.load()
            upright = _turned_upright(picture)
            if upright.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8 instead of scaling them.
                return Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            if upright.mode in ("I", "F"):
                raise InputError(f"{name}: 8 or 16 bits per channel are needed, found 32")
            mode = "L" if upright.mode in ("1", "L", "LA") else "RGB"
            return upright if upright.mode == mode else upright.convert(mode)
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: not a readable {'/'.join(formats)} image") from error
    except InputError:
        raise
    except Exception as error:  # what Pillow's readers raise depends on which byte misleads them
        raise InputError(f"{name}: damaged or truncated image ({error})") from error


def decode_pixels(
    data: bytes, channels: int, *, name: str, formats: Sequence[str] = ("PNG",)
) -> UInt8[Tensor, "{channels} h w"]:
    """The pixels of one encoded picture as grey (1 channel) or RGB (3 channels): `decode_image`, sooner.

    Plain PNGs, as shards hold them, are decoded by OpenCV, which takes less than half the time and lets other threads
    go on.

    Raises:
        InputError: As `decode_image`.
    """
    if _is_plain_png(data, channels):
        import cv2

        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if array is not None:
            return torch.from_numpy(array[None] if channels == 1 else array[:, :, ::-1].transpose(2, 0, 1).copy())
    return from_pil(decode_image(data, name=name, formats=formats), channels)


def _is_plain_png(data: bytes, channels: int) -> bool:
    """Whether this is a whole PNG of 8 bits a channel and as many channels, of acceptable size, that says nothing else.

    Anything that would change what the pixels mean (an orientation, a transparent colour, a palette) is not plain.
    """
    if not data.startswith(_PNG_SIGNATURE) or len(data) < _AFTER_IHDR or data[12:16] != b"IHDR":
        return False
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if (depth, colour, interlaced) != (8, 0 if channels == 1 else 2, 0) or not 0 < width * height <= MAX_PIXELS:
        return False
    for kind, start, end in _intact_chunks(data):
        if kind == b"IEND":
            return True
        if kind == b"iTXt" and data.find(b"tiff:Orientation", start, end) >= 0:
            return False
        if kind not in (b"IHDR", b"IDAT", b"iTXt"):
            return False
    return False


def _has_intact_chunks(data: bytes) -> bool:
    """Whether the checksums of a PNG's chunks hold up to its end; Pillow passes over those of the pixels."""
    return any(kind == b"IEND" for kind, _, _ in _intact_chunks(data))


def _intact_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, beginning and end of the contents of a PNG's chunks, up to the first whose checksum does not hold."""
    view, start = memoryview(data), len(_PNG_SIGNATURE)
    while start + 12 <= len(data):
        kind, end = data[start + 4 : start + 8], start + 8 + int.from_bytes(view[start : start + 4], "big")
        if zlib.crc32(view[start + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            return
        yield kind, start + 8, end
        if kind == b"IEND":
            return
        start = end + 4


_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _turned_upright(picture: Image.Image) -> Image.Image:
    """The picture turned as its camera noted. Pillow's own function also rewrites the notes, and fails at odd ones."""
    if picture.format == "PNG" and not _has_notes(picture):  # asking for them costs a tenth of reading a small image
        return picture
    turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    return picture if turn is None else picture.transpose(turn)


def _has_notes(picture: Image.Image) -> bool:
    return any("exif" in str(key).lower() or "tiff:Orientation" in str(value) for key, value in picture.info.items())


def from_pil(picture: Image.Image, channels: int) -> UInt8[Tensor, "c h w"]:
    """The pixels of a picture as grey (1 channel) or RGB (3 channels)."""
    mode = "L" if channels == 1 else "RGB"
    array = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    return torch.from_numpy(array[None].copy() if channels == 1 else array.transpose(2, 0, 1).copy())


def fit_square(picture: Image.Image, size: int) -> Image.Image:
    """Crops the centre square and resizes it to `size` pixels (antialiased)."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    return square if side == size else square.resize((size, size), Image.Resampling.LANCZOS)
