"""One image file: which formats are read, and how its pixels become 8-bit values of the height and width asked for.

Pillow is the only decoder. It is imported where an image is opened: a published data set does not need it.
"""

from __future__ import annotations

import io
import re
import warnings
from functools import cache
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from assay.core.errors import AssayError

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile

    from assay.data.sets.images import Preparation

# formats that Pillow identifies but cannot decode by itself: it needs a handler or Ghostscript, or reads headers alone
_NOT_DECODED = frozenset(("BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"))
_ANIMATED = frozenset(("AVIF", "GIF", "PNG", "TIFF", "WEBP"))
_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 258  # tags of EXIF and TIFF
# by orientation; ImageOps.exif_transpose also writes all other tags anew, and fails where one is odd
_TURNS = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
_TURN = dict(enumerate(_TURNS, start=2))
# Pillow's names for 12 or 16 bits a channel in a file ("BGR;16" is 16 bits a pixel)
_DEEP = re.compile(r";1[26][BLNRS]*$")

# what is said of images, after their number
TRANSPARENT = "with transparency, put on a white ground"
FRAMES = "with several frames or pages, of which the first is taken"
NO_EXIF = "whose EXIF orientation cannot be read, taken as stored"
COLOUR = "in colour, made grey (data.channels is 1)"


class Decoded(NamedTuple):
    """An image as it is trained on, and notes for its owner: of TRANSPARENT, FRAMES, NO_EXIF and COLOUR."""

    pixels: UInt8[np.ndarray, "c h w"]
    notes: tuple[str, ...]


@cache
def extensions() -> dict[str, str]:
    """The extensions, in lower case, of the files that are read, each with the name of its format in Pillow."""
    from PIL import Image

    known = Image.registered_extensions()
    return {end: name for end, name in known.items() if name in Image.OPEN and name not in _NOT_DECODED}


@cache
def _recognised() -> tuple[str, ...]:
    """The formats that are recognised by a file's first bytes; others would take arbitrary bytes for an image."""
    from PIL import Image

    Image.init()
    return tuple(name for name, (_, accept) in Image.OPEN.items() if accept and name not in _NOT_DECODED)


def is_image(path: Path) -> bool:
    """Whether a file without a known extension is an image, by its first bytes; a damaged image counts as one."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_recognised()):
            return True
    except UnidentifiedImageError:
        return False
    except Exception:  # a decoder recognised it, and may raise anything; `read_image` names the file
        return True


def shown(path: Path | str) -> str:
    """A path as printable text on one line; bytes that are no UTF-8 and control characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(path))


def read_image(source: Path | bytes | IO[bytes], preparation: Preparation, name: str = "") -> Decoded:
    """Decode an image: upright, on a white ground, in grey or RGB, of the height and width that `preparation` says.

    `source` is a path, the content of a file, or a file that is open and seekable. `name` is for messages, and its
    extension for the few formats that have no mark of their own; by default it is the path.

    Raises:
        AssayError: it cannot be read, or has more than 8 bits a channel; one line that names it.
    """
    from PIL import Image, UnidentifiedImageError

    name = shown(name or (source if isinstance(source, Path) else getattr(source, "name", "") or "image"))
    own = extensions().get(PurePath(name).suffix.lower())
    formats = _recognised() if own is None else (own, *_recognised())  # its extension may be wrong
    notes = []
    try:
        # Pillow warns of odd metadata, which is not used
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats) as opened,
        ):
            _refuse_deep(name, opened)
            if opened.format in _ANIMATED and getattr(opened, "is_animated", False):
                notes.append(FRAMES)
            opened.load()
            turn = None
            try:
                turn = _TURN.get(opened.getexif().get(_ORIENTATION, 1))
            except Exception:  # EXIF data is parsed without any check: struct.error, KeyError, TypeError, ...
                notes.append(NO_EXIF)
            image: PillowImage = opened if turn is None else opened.transpose(Image.Transpose[turn])
            if image.has_transparency_data:
                layers = image.convert("RGBA")
                alpha = layers.getchannel("A")
                image = Image.new("RGB", layers.size, "white")
                image.paste(layers, mask=alpha)
                if alpha.getextrema() != (255, 255):
                    notes.append(TRANSPARENT)
            pixels = np.asarray(_fitted(image.convert("RGB"), preparation))
            if preparation.channels == 1:
                if (pixels != pixels[..., :1]).any():
                    notes.append(COLOUR)
                pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]  # equal channels stay their value
    except AssayError:
        raise
    except UnidentifiedImageError:
        raise AssayError(
            f"{name}: not a readable image: empty, damaged, or in a format that Pillow does not know"
        ) from None
    except Exception as error:  # a decoder may raise anything: struct.error, RuntimeError, MemoryError
        said = getattr(error, "strerror", None) or shown(" ".join(str(error).split())) or type(error).__name__
        raise AssayError(f"{name}: not a readable image: {said}") from None
    return Decoded(np.ascontiguousarray(pixels.transpose(2, 0, 1)), tuple(notes))


def _fitted(image: PillowImage, preparation: Preparation) -> PillowImage:
    """Scale an image to the height and width of `preparation`, by its `fit`."""
    from PIL import Image, ImageOps

    size = preparation.width, preparation.height
    if preparation.fit == "crop":
        return ImageOps.fit(image, size, method=Image.Resampling.BILINEAR)
    if preparation.fit == "stretch":
        return image.resize(size, Image.Resampling.BILINEAR)
    scale = min(full / own for full, own in zip(size, image.size, strict=True))
    inner = [min(full, max(1, round(own * scale))) for full, own in zip(size, image.size, strict=True)]
    ground = Image.new("RGB", size, "black")  # ImageOps.pad fails where a side would shrink to no pixel
    place = [(full - own) // 2 for full, own in zip(size, inner, strict=True)]
    ground.paste(image.resize((inner[0], inner[1]), Image.Resampling.BILINEAR), (place[0], place[1]))
    return ground


def _refuse_deep(name: str, image: ImageFile) -> None:
    """Refuse a file with more than 8 bits a channel, of which Pillow would keep the highest 8, or cut off the rest.

    JPEG 2000, AVIF and PPM in colour are excluded: they state how many bits they use, and are scaled by it.
    """
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    deep = image.mode.startswith(("I", "F")) or any(n > 8 for n in (bits if isinstance(bits, tuple) else (bits,)))
    for tile in image.tile:  # a decoder's arguments are a raw mode, or begin with one
        raw = str(tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args)
        deep |= tile.codec_name == "SGI16" or bool(_DEEP.search(raw) and not raw.startswith("BGR"))
    if deep:
        raise AssayError(
            f"{name}: more than 8 bits a channel (mode {image.mode}), and which of them are used is not known; "
            "save it with 8 bits a channel"
        )
