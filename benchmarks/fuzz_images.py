"""`python -m benchmarks.fuzz_images`: damaged images of many formats, each of them read or refused in one line.

An escape is a damaged file that raises anything but an AssayError of one line with its name, that gives an array of
another shape, or that ends or stops the process. Files are damaged by a seeded generator and numbered: an escape is
reproduced by its number. The command ends with 1 where there is an escape.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import sys
import tempfile
import warnings
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from rich.console import Console
from rich.table import Table

from assay.core.errors import AssayError
from assay.data import decoding
from assay.data.sets.images import Preparation

Originals = list[tuple[str, bytes]]  # ending, content
Case = tuple[int, str, str, str]  # number, ending, damage, outcome
DAMAGES = (
    *("bits flipped", "header edited", "truncated", "bytes dropped", "bytes zeroed", "bytes repeated"),
    *("spliced with another", "integer overwritten"),
)
PREPARATION = Preparation(16, 16)
SECONDS_AN_IMAGE = 30
READ, REFUSED = "read", "refused"
# ending, format, modes, and how to write it
_FORMATS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("png", "PNG", "RGB L P 1 LA RGBA I;16", {}),
    ("jpg", "JPEG", "RGB L CMYK", {"exif": True}),
    ("gif", "GIF", "P L", {"save_all": True}),
    ("bmp", "BMP", "RGB L P 1 RGBA", {}),
    ("tif", "TIFF", "RGB L P 1 LA RGBA CMYK I;16 F", {"exif": True}),
    ("tif", "TIFF", "RGB L RGBA", {"compression": "tiff_lzw"}),
    ("tif", "TIFF", "RGB L", {"compression": "jpeg"}),
    ("tif", "TIFF", "RGB", {"compression": "tiff_adobe_deflate", "save_all": True}),
    ("tif", "TIFF", "1", {"compression": "group4"}),
    ("webp", "WEBP", "RGB RGBA", {"exif": True}),
    ("webp", "WEBP", "RGB", {"lossless": True, "save_all": True}),
    ("ppm", "PPM", "RGB L 1 I;16", {}),
    ("tga", "TGA", "RGB L LA RGBA P", {"compression": "tga_rle"}),
    ("jp2", "JPEG2000", "RGB L RGBA I;16", {}),
    ("avif", "AVIF", "RGB RGBA", {"exif": True}),
    ("ico", "ICO", "RGB RGBA", {"sizes": [(24, 24)]}),
    ("ico", "ICO", "RGBA", {"sizes": [(24, 24)], "bitmap_format": "bmp"}),
    ("dds", "DDS", "RGB L LA RGBA", {}),
    ("dds", "DDS", "RGBA", {"pixel_format": "DXT5"}),
    ("icns", "ICNS", "RGBA", {}),
    ("pcx", "PCX", "RGB L P 1", {}),
    ("sgi", "SGI", "RGB L RGBA", {}),
    ("im", "IM", "RGB L P", {}),
    ("msp", "MSP", "1", {}),
    ("xbm", "XBM", "1", {}),
    ("blp", "BLP", "P", {}),
    ("mpo", "MPO", "RGB", {"save_all": True}),
    ("qoi", "QOI", "RGB RGBA", {}),
    ("apng", "PNG", "RGB P", {"save_all": True, "exif": True}),
)


@cache
def seeds() -> Originals:
    """Whole images to be damaged: their ending and bytes, with EXIF data, palettes, transparency and several frames."""
    grid = np.indices((24, 24, 3)).sum(axis=0)
    picture = Image.fromarray((grid * 5 % 256).astype(np.uint8))
    exif = Image.Exif()
    exif.update({ExifTags.Base.Orientation: 6, ExifTags.Base.XResolution: 72.0, ExifTags.Base.Make: "camera"})
    found = []
    Image.init()
    for ending, name, modes, options in _FORMATS:
        for mode in modes.split() if name in Image.SAVE else ():
            image = _in_mode(picture, mode)
            chosen = dict(options)
            if chosen.pop("exif", False):
                chosen["exif"] = exif.tobytes()
            if chosen.get("save_all"):
                chosen["append_images"] = [image.transpose(Image.Transpose.ROTATE_90)] * 2
            stream = io.BytesIO()
            with warnings.catch_warnings(action="ignore"):  # some of the old formats are deprecated
                image.save(stream, name, **chosen)
            found.append((ending, stream.getvalue()))
    return [*found, *_hand_made()]


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    image = picture.convert("L").convert(mode) if mode in ("F", "LA", "1") else picture.convert(mode)
    if mode == "P":
        image.info["transparency"] = 3
    return image


def _hand_made() -> Originals:
    """Formats that Pillow reads and does not write."""
    pixels = bytes(range(192))
    psd = b"8BPS\0\1" + bytes(6) + b"\0\3" + b"\0\0\0\x08" * 2 + b"\0\x08\0\3" + bytes(14) + pixels
    sun = b"\x59\xa6\x6a\x95" + b"".join(n.to_bytes(4) for n in (8, 8, 24, 192, 1, 0, 0)) + pixels
    fits = b"".join(card.ljust(80) for card in (b"SIMPLE  = T", b"BITPIX  = 8", b"NAXIS   = 2", b"NAXIS1  = 8"))
    fits = (fits + b"NAXIS2  = 8".ljust(80) + b"END").ljust(2880) + pixels[:64]
    xpm = b'/* XPM */\nstatic char *x[] = {\n"4 2 2 1",\n"a c #ff0000",\n"b c #00ff00",\n"abab",\n"baba"\n};\n'
    plain = b"P3\n4 2\n4095\n" + b" ".join(str(n * 170).encode() for n in range(24)) + b"\n"
    return [("psd", psd), ("ras", sun), ("fits", fits), ("xpm", xpm), ("ppm", plain)]


def damaged(number: int) -> tuple[str, str, bytes]:
    """The damaged file of a number: its ending, what was done to it, and its bytes."""
    random, originals = Random(number), seeds()
    ending, whole = originals[number % len(originals)]
    content = bytearray(whole)
    done = random.choices(DAMAGES, k=random.randint(1, 3))
    for name in done:
        if content:
            _damage(name, content, random, random.choice(originals)[1])
    shown = random.random()  # under its own ending, another's, or none
    ending = random.choice(originals)[0] if shown > 0.95 else "" if shown > 0.9 else ending
    return ending, done[0], bytes(content)


def _damage(kind: str, content: bytearray, random: Random, other: bytes) -> None:
    size = len(content)
    start = random.randrange(size)
    if kind == "bits flipped":
        for _ in range(random.randint(1, 8)):
            content[random.randrange(size)] ^= 1 << random.randrange(8)
    elif kind == "header edited":
        for _ in range(random.randint(1, 4)):
            value = random.choice((0, 1, 2, 16, 127, 128, 255, random.randrange(256)))
            content[random.randrange(min(size, 96))] = value
    elif kind == "truncated":
        del content[start:]
    elif kind == "bytes dropped":
        del content[start : start + random.randint(1, 63)]
    elif kind == "bytes zeroed":
        end = min(start + random.randint(1, 599), size)
        content[start:end] = bytes(end - start)
    elif kind == "bytes repeated":
        place = random.randrange(size)
        content[place:place] = content[start : start + random.randint(1, 199)]
    elif kind == "spliced with another":
        content[start:] = other[random.randrange(len(other)) :]
    elif kind == "integer overwritten":
        length, order = random.choice((2, 4)), random.choice(("big", "little"))
        value = random.choice((0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1))
        content[start : start + length] = (value % 256**length).to_bytes(length, order)


def case(number: int, folder: Path) -> Case:
    """Damage one file and read it; its outcome is `read`, `refused`, or how it escapes."""
    ending, damage, content = damaged(number)
    path = folder / (f"image.{ending}" if ending else "image")
    path.write_bytes(content)
    try:
        with warnings.catch_warnings(action="error"):
            decoding.is_image(path)
            pixels = decoding.read_image(path, PREPARATION).pixels
        fits = pixels.shape == PREPARATION.shape and pixels.dtype == np.uint8
        outcome = READ if fits else f"an array {pixels.dtype} {pixels.shape}"
    except AssayError as error:
        is_a_line = str(error).startswith(f"{path}: ") and len(str(error).splitlines()) == 1
        outcome = REFUSED if is_a_line else f"says {error}"
    except BaseException as error:
        outcome = f"{type(error).__name__}: {error}"
    path.unlink()
    return number, ending or "none", damage, outcome


def _start() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff prints what it finds
    seeds()


def run(count: int, first: int) -> list[Case]:
    """Read `count` damaged files in another process; that it dies or hangs is an escape, and a new one goes on."""
    done: list[Case] = []
    while len(done) < count:
        with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1, _start) as pool:
            pool.apply(os.getpid)  # it has loaded its modules
            try:
                while len(done) < count:
                    one = first + len(done), Path(folder)
                    done.append(pool.apply_async(case, one).get(SECONDS_AN_IMAGE))
            except multiprocessing.TimeoutError:
                said = f"the process died, or was not done after {SECONDS_AN_IMAGE} s"
                done.append((first + len(done), "?", "?", said))
    return done


def main() -> None:
    """Fuzz, and print a table of what became of the files, by format."""
    parser = argparse.ArgumentParser(description="Read damaged images: each is to be read, or refused in one line.")
    parser.add_argument("--count", type=int, default=16_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    cases = run(**vars(parser.parse_args()))
    table = Table("ending", "files", READ, REFUSED, "escaped")
    for name in [*sorted({ending for _, ending, _, _ in cases}), "all"]:
        own = Counter(found for _, ending, _, found in cases if name in (ending, "all"))
        files, read, refused = own.total(), own[READ], own[REFUSED]
        table.add_row(name, *map(str, (files, read, refused, files - read - refused)))
    Console().print(table)
    escapes = [one for one in cases if one[3] not in (READ, REFUSED)]
    for number, ending, damage, found in escapes:
        print(f"{number} ({ending}, {damage}): {found}")
    sys.exit(bool(escapes))


if __name__ == "__main__":
    main()
