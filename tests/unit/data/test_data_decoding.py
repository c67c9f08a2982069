from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image, ImageFile

from assay.core.errors import AssayError
from assay.data import decoding
from assay.data.decoding import COLOUR, FRAMES, NO_EXIF, TRANSPARENT, read_image
from assay.data.sets.images import Preparation
from benchmarks import fuzz_images


def save(path, colour=(10, 20, 30), size=(12, 8), mode="RGB", **options):
    Image.new(mode, size, colour).save(path, **options)


@pytest.mark.parametrize(
    ("mode", "colour"),
    [("P", 0), ("1", 1), ("RGBA", (5, 6, 7, 255)), ("CMYK", (0, 0, 0, 0)), ("YCbCr", (9, 128, 128)), ("LA", (9, 255))],
)
def test_any_mode_becomes_rgb(mode, colour, tmp_path):
    path = tmp_path / ("x.tif" if mode in ("CMYK", "YCbCr") else "x.png")
    save(path, colour, mode=mode)
    decoded = read_image(path, Preparation(8, 8))
    assert decoded.pixels.shape == (3, 8, 8)
    assert decoded.notes == ()


def png_of_16_bits(path, colour_type, channels, value=200, side=8):
    rows = b"".join(b"\0" + np.full(side * channels, value, ">u2").tobytes() for _ in range(side))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, colour_type, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_a_png_of_16_bits_is_refused(colour_type, channels, tmp_path):
    png_of_16_bits(tmp_path / "deep.png", colour_type, channels)
    with pytest.raises(AssayError, match=r"deep\.png: more than 8 bits a channel \(mode .*save it with 8 bits"):
        read_image(tmp_path / "deep.png", Preparation(8, 8))


def tiff(path, bits, channels, planar=1, value=200, side=8, order="<"):
    """An uncompressed TIFF with `bits` a channel."""
    samples = [np.full(side * side, value, f"{order}u{max(bits // 8, 1)}").tobytes() for _ in range(channels)]
    data = b"".join(samples)
    after = 8 + 2 + 10 * 12 + 4
    strips = channels if planar == 2 else 1
    extra = struct.pack(f"{order}{channels}H", *[bits] * channels)
    places = [after + len(extra) + 8 * strips + n * len(samples[0]) for n in range(strips)]
    sizes = [len(data) // strips] * strips
    offsets = struct.pack(f"{order}{strips}I", *places)
    counts = struct.pack(f"{order}{strips}I", *sizes)

    def entry(tag, kind, values, place):
        if len(values) == 1:
            body = struct.pack(f"{order}{'HI'[kind - 3]}", values[0]).ljust(4, b"\0")
        else:
            body = struct.pack(f"{order}I", place)
        return struct.pack(f"{order}HHI", tag, kind, len(values)) + body

    entries = [
        entry(256, 3, [side], 0), entry(257, 3, [side], 0), entry(258, 3, [bits] * channels, after),
        entry(259, 3, [1], 0), entry(262, 3, [2 if channels > 2 else 1], 0),
        entry(273, 4, places, after + len(extra)), entry(277, 3, [channels], 0), entry(278, 3, [side], 0),
        entry(279, 4, sizes, after + len(extra) + len(offsets)), entry(284, 3, [planar], 0),
    ]  # fmt: skip
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(f"{order}I", 8) + struct.pack(f"{order}H", 10) + b"".join(entries) + bytes(4)
    path.write_bytes(head + extra + offsets + counts + data)


@pytest.mark.parametrize(("channels", "planar"), [(1, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("order", "<>")
def test_a_tiff_of_16_bits_is_refused(channels, planar, order, tmp_path):
    tiff(tmp_path / "shallow.tif", 8, channels, planar, order=order)
    assert (read_image(tmp_path / "shallow.tif", Preparation(8, 8)).pixels == 200).all()
    tiff(tmp_path / "deep.tif", 16, channels, planar, order=order)
    with pytest.raises(AssayError, match=r"deep\.tif: "):
        read_image(tmp_path / "deep.tif", Preparation(8, 8))


def test_other_deep_images_are_refused_and_16_bits_a_pixel_are_not(tmp_path):
    save(tmp_path / "float.tif", 0.5, mode="F")
    (tmp_path / "deep.pgm").write_bytes(b"P5 8 8 4095\n" + bytes(128))
    sgi = struct.pack(">hBBHHHHll", 474, 0, 2, 3, 8, 8, 3, 0, 65535).ljust(512, b"\0") + b"\0\xc8" * 192
    (tmp_path / "deep.sgi").write_bytes(sgi)
    for name in ("float.tif", "deep.pgm", "deep.sgi"):
        with pytest.raises(AssayError, match=f"{name}: more than 8 bits a channel"):
            read_image(tmp_path / name, Preparation(8, 8))
    header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 16, 3, 128, 0, 0, 0, 0) + struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    bmp = b"BM" + struct.pack("<IHHI", 14 + len(header) + 128, 0, 0, 14 + len(header)) + header + b"\x00\xf8" * 64
    (tmp_path / "pixel.bmp").write_bytes(bmp)
    assert read_image(tmp_path / "pixel.bmp", Preparation(8, 8)).pixels[:, 0, 0].tolist() == [255, 0, 0]
    (tmp_path / "stated.ppm").write_bytes(b"P6 8 8 4095\n" + b"\x08\x00" * 192)  # half of 4095: it says its depth
    assert read_image(tmp_path / "stated.ppm", Preparation(8, 8)).pixels[:, 0, 0].tolist() == [128, 128, 128]


def drawn(mode):
    """A square that is opaque in the middle and drawn in alpha alone: all black."""
    alpha = np.zeros((8, 8), dtype=np.uint8)
    alpha[2:6, 2:6] = 255
    image = Image.new("RGBA", (8, 8))
    image.putalpha(Image.fromarray(alpha))
    if mode in ("RGBA", "LA"):
        return image.convert(mode), {}
    if mode == "P":
        palette = Image.frombytes("P", (8, 8), (alpha // 255).tobytes())
        palette.putpalette([0] * 768)
        return palette, {"transparency": b"\0\xff"}
    grey = Image.fromarray(255 - alpha).convert(mode)  # black where it is drawn; white is transparent
    return grey, {"transparency": (255, 255, 255) if mode == "RGB" else 255}


@pytest.mark.parametrize(
    ("mode", "ending"),
    [("RGBA", "png"), ("LA", "png"), ("P", "png"), ("RGB", "png"), ("L", "png"), ("RGBA", "webp"), ("RGBA", "tif")],
)
def test_a_transparent_image_is_put_on_white(mode, ending, tmp_path):
    image, options = drawn(mode)
    if ending == "webp":
        options["lossless"] = True
    image.save(tmp_path / f"x.{ending}", **options)
    decoded = read_image(tmp_path / f"x.{ending}", Preparation(8, 8))
    expected = np.full((8, 8), 255)
    expected[2:6, 2:6] = 0
    assert (decoded.pixels == expected).all()
    assert decoded.notes == (TRANSPARENT,)


def test_half_transparent_is_half_white(tmp_path):
    save(tmp_path / "x.png", (0, 100, 200, 128), mode="RGBA")
    pixels = read_image(tmp_path / "x.png", Preparation(4, 4)).pixels
    assert pixels[:, 0, 0].tolist() == [127, 177, 227]


def test_only_the_first_frame_is_taken_and_said(tmp_path):
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (10, 200)]
    for ending in ("gif", "tif", "png", "webp"):
        options = {"lossless": True} if ending == "webp" else {}
        frames[0].save(tmp_path / f"x.{ending}", save_all=True, append_images=frames[1:], **options)
        decoded = read_image(tmp_path / f"x.{ending}", Preparation(8, 8))
        assert decoded.notes == (FRAMES,)
        assert decoded.pixels[:, 0, 0].tolist() == [10, 0, 0]


def test_the_centre_is_kept_upright_and_undistorted(tmp_path):
    pixels = np.zeros((8, 24, 3), dtype=np.uint8)
    pixels[:, 8:16] = 255  # the middle third is white, and fills the square
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    assert read_image(tmp_path / "wide.png", Preparation(8, 8)).pixels.min() == 255


UPRIGHT = [210, 180, 150, 120, 90, 60, 30, 0]


def turned(path, exif, kind):
    image = Image.fromarray(np.repeat(np.arange(8, dtype=np.uint8)[:, None] * 30, 8, axis=1))
    image.save(path, kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {}))


@pytest.mark.parametrize(("ending", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("tif", "TIFF")])
def test_the_orientation_is_read_and_no_other_tag(ending, kind, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees to the right
    turned(tmp_path / f"x.{ending}", exif, kind)
    assert read_image(tmp_path / f"x.{ending}", Preparation(8, 8)).pixels[0, 0] == pytest.approx(UPRIGHT, abs=2)
    # an unsigned resolution of -1/0, written by hand: Pillow reads it and cannot write it anew
    tags = struct.pack("<HHHIHH", 2, 0x112, 3, 1, 6, 0) + struct.pack("<HHII", 0x11A, 10, 1, 38) + bytes(4)
    odd = b"Exif\0\0II*\0\x08\0\0\0" + tags + struct.pack("<ii", -1, 0)
    if kind != "TIFF":
        turned(tmp_path / f"odd.{ending}", odd, kind)
        decoded = read_image(tmp_path / f"odd.{ending}", Preparation(8, 8))
        assert decoded.pixels[0, 0] == pytest.approx(UPRIGHT, abs=2)
        assert decoded.notes == ()


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff", b"Exif\0\0XX*\0\x08\0\0\0"])
def test_exif_that_cannot_be_read_counts_as_upright(exif, tmp_path):
    turned(tmp_path / "x.jpg", exif, "JPEG")
    decoded = read_image(tmp_path / "x.jpg", Preparation(8, 8))
    assert decoded.pixels[0, :, 0] == pytest.approx(UPRIGHT[::-1], abs=2)
    assert decoded.notes in ((), (NO_EXIF,))


def test_a_decoder_that_fails_over_exif_is_said(tmp_path, monkeypatch):
    save(tmp_path / "x.png")
    monkeypatch.setattr(Image.Image, "getexif", lambda self: struct.unpack("<I", b""))
    assert read_image(tmp_path / "x.png", Preparation(8, 8)).notes == (NO_EXIF,)


@pytest.mark.parametrize(
    "error", [struct.error("bad"), RuntimeError("avif"), NotImplementedError(), MemoryError(), OSError(5, "I/O error")]
)
def test_whatever_a_decoder_raises_is_one_line_with_the_file(error, tmp_path, monkeypatch):
    save(tmp_path / "x.png")

    def failing(self):
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", failing)
    with pytest.raises(AssayError, match=r"x\.png: not a readable image: \S") as caught:
        read_image(tmp_path / "x.png", Preparation(8, 8))
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.__cause__ is None


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # 96 are more than twice that
    with pytest.raises(AssayError, match=r"x\.png: not a readable image: .*decompression bomb"):
        read_image(tmp_path / "x.png", Preparation(8, 8))
    assert decoding.is_image(tmp_path / "x.png")


def test_a_wrong_ending_is_no_obstacle(tmp_path):
    save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert read_image(tmp_path / "x.jpg", Preparation(8, 8)).pixels[:, 0, 0].tolist() == [10, 20, 30]


def quarters(path, width=24, height=8):
    """Red at the left, blue at the right, black and white between."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 4, 0] = pixels[:, -width // 4 :, 2] = pixels[:, width // 2 : -width // 4] = 255
    Image.fromarray(pixels).save(path)


def test_crop_cuts_pad_fills_with_black_and_stretch_keeps_all(tmp_path):
    quarters(tmp_path / "wide.png")
    crop, pad, stretch = (
        read_image(tmp_path / "wide.png", Preparation(8, 8, fit)).pixels for fit in ("crop", "pad", "stretch")
    )
    assert {tuple(column) for column in crop[:, 4].T[:3].tolist()} == {(0, 0, 0)}
    assert pad[:, :2].max() == pad[:, -3:].max() == 0  # 24 × 8 becomes 8 × 3, two rows below the top
    assert pad[:, 3, 0].tolist() == stretch[:, 3, 0].tolist() == [255, 0, 0]
    assert pad[:, 3, -1].tolist() == stretch[:, 3, -1].tolist() == [0, 0, 255]
    assert (stretch == stretch[:, :1]).all()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000), (7, 5), (5, 7), (40, 30)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_shape_becomes_the_height_and_width_asked_for(fit, size, channels, tmp_path):
    save(tmp_path / "x.png", (90, 90, 90), size)
    found = read_image(tmp_path / "x.png", Preparation(6, 10, fit, channels)).pixels
    assert found.shape == (channels, 6, 10)
    assert found.max() == 90
    if fit != "pad":
        assert found.min() == 90
    assert found.flags.c_contiguous


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_an_image_of_the_right_shape_is_not_touched(fit, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    assert np.array_equal(read_image(tmp_path / "x.png", Preparation(6, 10, fit)).pixels, pixels.transpose(2, 0, 1))


def test_grey_stays_grey_and_colour_is_made_grey_and_said(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (6, 10), dtype=np.uint8)
    for mode in ("L", "RGB", "LA", "RGBA"):
        Image.fromarray(values).convert(mode).save(tmp_path / "x.png")
        grey = read_image(tmp_path / "x.png", Preparation(6, 10, channels=1))
        assert np.array_equal(grey.pixels, values[None])
        assert grey.notes == ()
    save(tmp_path / "x.png", (255, 0, 0))
    assert read_image(tmp_path / "x.png", Preparation(4, 4, channels=1)).pixels[0, 0, 0] == 76  # 0.299 of 255
    assert read_image(tmp_path / "x.png", Preparation(4, 4, channels=1)).notes == (COLOUR,)


def test_bytes_and_an_open_file_give_what_the_path_gives(tmp_path):
    path, preparation = tmp_path / "x.jpg", Preparation(6, 10, "pad")
    quarters(path)
    known = read_image(path, Preparation(**json.loads(json.dumps(asdict(preparation))))).pixels
    with path.open("rb") as stream:
        assert np.array_equal(read_image(stream, preparation).pixels, known)
    assert np.array_equal(read_image(path.read_bytes(), preparation).pixels, known)
    for name in ("", "upload.jpg"):
        with pytest.raises(AssayError, match=f"^{name or 'image'}: not a readable image"):
            read_image(b"no image", preparation, name)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "x.tga")  # a format that only its extension tells
    with pytest.raises(AssayError, match=r"^image: not a readable image"):
        read_image((tmp_path / "x.tga").read_bytes(), preparation)
    assert read_image((tmp_path / "x.tga").read_bytes(), Preparation(8, 8), "x.tga").pixels[:, 0, 0].tolist() == [
        1,
        2,
        3,
    ]


def test_damaged_images_are_read_or_refused_in_one_line(tmp_path):
    originals = fuzz_images.seeds()
    found = [fuzz_images.case(number, tmp_path) for number in range(100_000, 100_000 + 10 * len(originals))]
    assert [case for case in found if case[3] not in (fuzz_images.READ, fuzz_images.REFUSED)] == []
    assert {case[3] for case in found} == {fuzz_images.READ, fuzz_images.REFUSED}
