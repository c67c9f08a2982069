"""One image file: which formats are read, and how its pixels become a square of 8-bit RGB.

Pillow is the only decoder. It is loaded where an image is opened, since a published data set needs none of it.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from assay.foundation.errors import AssayError

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import UInt8
    from PIL import Image
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile

# formats that Pillow identifies but cannot decode by itself: it needs a handler or Ghostscript, or reads headers alone
_NOT_DECODED = frozenset(("BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"))
_ANIMATED = frozenset(("AVIF", "GIF", "PNG", "TIFF", "WEBP"))
_ORIENTATION = 0x0112  # EXIF
_BITS_PER_SAMPLE = 258  # TIFF
# how Pillow calls 12 or 16 bits a channel in a file ("BGR;16" is 16 bits a pixel)
_DEEP = re.compile(r";1[26][BLNRS]*$")

# what is said of images, after their number
TRANSPARENT = "with transparency, put on a white ground"
FRAMES = "with several frames or pages, of which the first is taken"
NO_EXIF = "whose EXIF orientation cannot be read, taken as stored"


@dataclass(frozen=True)
class Decoded:
    """An image as it is trained on.

    Attributes:
        pixels: unsigned bytes.
        notes: what was decided about it that its owner should know: of TRANSPARENT, FRAMES and NO_EXIF.
    """

    pixels: UInt8[np.ndarray, "3 side side"]
    notes: tuple[str, ...]


@lru_cache(maxsize=1)
def extensions() -> dict[str, str]:
    """The endings, in lower case, of the files that are read, each with the name of its format in Pillow."""
    from PIL import Image

    known = Image.registered_extensions()
    return {end: name for end, name in known.items() if name in Image.OPEN and name not in _NOT_DECODED}


@lru_cache(maxsize=1)
def _recognised() -> tuple[str, ...]:
    """The formats whose files begin with bytes of their own; others would take arbitrary bytes for an image."""
    from PIL import Image

    Image.init()
    return tuple(name for name, (_, accept) in Image.OPEN.items() if accept and name not in _NOT_DECODED)


def is_image(path: Path) -> bool:
    """Whether a file without a known ending is an image, by its first bytes; a damaged image counts as one."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_recognised()):
            return True
    except UnidentifiedImageError:
        return False
    except Exception:  # a decoder took it for its own, and may raise anything; `read_image` will name it
        return True


def read_image(path: Path, side: int) -> Decoded:
    """Decode an image: upright, on a white ground, in RGB, scaled to cover a square and cut to it from its centre.

    Args:
        path: the file.
        side: of the square, in pixels.

    Raises:
        AssayError: it cannot be read, or has more than 8 bits a channel; one line that names it.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow warns of odd metadata, which is not used
            return _decode(path, side)
    except AssayError:
        raise
    except OSError as error:
        raise AssayError(f"{shown(path)}: not a readable image: {error.strerror or _reason(error)}") from None
    except Exception as error:  # a decoder may raise anything: struct.error, RuntimeError, MemoryError
        raise AssayError(f"{shown(path)}: not a readable image: {_reason(error)}") from None


def shown(path: Path | str) -> str:
    """A path as printable text on one line; bytes that are no UTF-8 and control characters are escaped."""
    text = str(path)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _decode(path: Path, side: int) -> Decoded:
    from PIL import Image, ImageOps

    own = extensions().get(path.suffix.lower())
    formats = _recognised() if own is None else (own, *_recognised())  # its ending may be wrong
    notes = []
    with Image.open(path, formats=formats) as opened:
        if _deep(opened):
            raise AssayError(
                f"{shown(path)}: more than 8 bits a channel (mode {opened.mode}), and which of them are used is not "
                "known; save it with 8 bits a channel"
            )
        if opened.format in _ANIMATED and getattr(opened, "is_animated", False):
            notes.append(FRAMES)
        opened.load()
        turn, readable = _turn(opened)
        if not readable:
            notes.append(NO_EXIF)
        image: PillowImage = opened if turn is None else opened.transpose(turn)
        if image.has_transparency_data:
            image, transparent = _on_white(image)
            notes += [TRANSPARENT] * transparent
        square = ImageOps.fit(image.convert("RGB"), (side, side), method=Image.Resampling.BILINEAR)
    return Decoded(np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1)), tuple(notes))


def _deep(image: ImageFile) -> bool:
    """Whether a file has more than 8 bits a channel, of which Pillow would keep the highest 8, or cut off the rest.

    JPEG 2000, AVIF and PPM in colour are not meant: they state how many bits they use, and are scaled by it.
    """
    if image.mode.startswith(("I", "F")):
        return True
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    if any(value > 8 for value in (bits if isinstance(bits, tuple) else (bits,))):
        return True
    for tile in image.tile:  # a decoder's arguments are a raw mode, or begin with one
        raw = str(tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args)
        if tile.codec_name == "SGI16" or (_DEEP.search(raw) and not raw.startswith("BGR")):
            return True
    return False


def _turn(image: PillowImage) -> tuple[Image.Transpose | None, bool]:
    """How to turn an image upright, and whether its EXIF data could be read.

    The orientation alone is read: ImageOps.exif_transpose also writes all other tags anew, and fails where one is odd.
    """
    from PIL import Image

    turns = Image.Transpose
    by_orientation = {
        2: turns.FLIP_LEFT_RIGHT,
        3: turns.ROTATE_180,
        4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE,
        6: turns.ROTATE_270,
        7: turns.TRANSVERSE,
        8: turns.ROTATE_90,
    }
    try:
        return by_orientation.get(image.getexif().get(_ORIENTATION, 1)), True
    except Exception:  # EXIF data is parsed without any check: struct.error, KeyError, TypeError, ...
        return None, False


def _on_white(image: PillowImage) -> tuple[PillowImage, bool]:
    """Put an image on a white ground; and whether any of the ground is seen."""
    from PIL import Image

    layers = image.convert("RGBA")
    alpha = layers.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return layers, False
    ground = Image.new("RGB", layers.size, "white")
    ground.paste(layers, mask=alpha)
    return ground, True


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "empty, damaged, or in a format that Pillow does not know"
    return shown(" ".join(str(error).split())) or type(error).__name__
