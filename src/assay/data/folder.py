"""A user's own images, `train/<class>/*.png` and `test/<class>/*.png`, checked and packed into a few files.

The layout is that of torchvision's ImageFolder: the class folders, sorted by name, are the labels.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assay.config import PARAMS_FILE
from assay.data import packed
from assay.data.formats import idx_header
from assay.data.progress import progress
from assay.data.sets.catalog import check_validation
from assay.data.sets.images import Images
from assay.foundation import files
from assay.foundation.errors import AssayError

if TYPE_CHECKING:
    from assay.config import Data

VARIABLE = "ASSAY_DATA_DIR"
DEFAULT = Path("data/own")
EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"))


@dataclass(frozen=True)
class Tree:
    """What a user's folder holds.

    Attributes:
        root: the folder.
        class_names: by label.
        images: for each split, the path of every image below `root` and its label, sorted.
        digest: of the paths and the files' bytes.
    """

    root: Path
    class_names: tuple[str, ...]
    images: dict[str, list[tuple[str, int]]]
    digest: str


def obtain(data: Data, raw: Path, work: Path) -> bool:
    """Pack the user's images into `work`, unless `raw` holds them already.

    Args:
        data: with the side to bring them to and, if given, the digest that they must have.
        raw: data/raw.
        work: an empty folder, to be put in its place.

    Returns:
        Whether `work` was filled.

    Raises:
        AssayError: there are no images, or something about them is wrong; the line names the file or folder.
    """
    root = root_of_images()
    if not root.is_dir():
        return _kept(data, raw, root)
    tree = scan(root)
    check_validation(data, len(tree.images["train"]))
    packed.check_digest(data, tree.digest, str(root))
    if data.digest is None:
        print(f"{root}: to pin these images, set data.digest: {tree.digest} in {PARAMS_FILE}")
    try:
        if packed.verify(raw, data).digest == tree.digest:
            return False
    except AssayError as error:
        if raw.is_dir():
            print(f"{error}; packing again")
    pack(tree, data, work)
    return True


def root_of_images() -> Path:
    """Where the user's images are: `ASSAY_DATA_DIR`, or data/own."""
    return Path(os.environ.get(VARIABLE) or DEFAULT).expanduser()


def look(data: Data) -> tuple[Images, int] | None:
    """The shape of the user's images, and how many are left to train on, by the names in the folder alone.

    None for a published data set, and where the folder is not there: nothing is known then.

    Raises:
        AssayError: as `scan`, or the validation set would leave nothing to train on.
    """
    root = root_of_images()
    if data.side is None or not root.is_dir():
        return None
    names, images = listing(root)
    count = len(images["train"])
    check_validation(data, count)
    return Images(3, data.side, data.side, len(names)), count - data.validation


def _kept(data: Data, raw: Path, root: Path) -> bool:
    """Whether to go on with what `raw` holds, where the user's folder is not there: False, or an error."""
    try:
        record = packed.verify(raw, data)
    except AssayError as error:
        named = f"{VARIABLE}={root}" if os.environ.get(VARIABLE) else f"{VARIABLE} is not set, and {root}"
        raise AssayError(
            f"data set folder: no images: {named}: no such folder; {error}\n"
            f"Set {VARIABLE} to a folder with train/<class>/*.png and test/<class>/*.png, or put it at {DEFAULT}."
        ) from None
    check_validation(data, record.counts["train"])
    return False


def listing(root: Path) -> tuple[list[str], dict[str, list[tuple[str, int]]]]:
    """The classes of a user's images and, for each split, the path of every image below `root` and its label, sorted.

    Raises:
        AssayError: a split is missing, the splits' classes differ, or a class is empty.
    """
    classes = {split: _classes(root / split) for split in packed.SPLITS}
    for one, other in (packed.SPLITS, packed.SPLITS[::-1]):
        for name in sorted(classes[one].keys() - classes[other].keys()):
            raise AssayError(f"{root / other / name}: missing; {one} has the class {name}, so {other} must have it")
    names = sorted(classes["train"])
    if len(names) < 2:
        raise AssayError(f"{root / 'train'}: a folder for each of two or more classes is needed; found {names}")
    images = {
        split: [(path, label) for label, name in enumerate(names) for path in _images(root, classes[split][name])]
        for split in packed.SPLITS
    }
    return names, images


def scan(root: Path) -> Tree:
    """List a user's images and take their digest.

    Raises:
        AssayError: as `listing`.
    """
    names, images = listing(root)
    paths = [path for split in packed.SPLITS for path, _ in images[split]]
    digests = {}
    with progress("reading images", len(paths), "images") as advance:
        for path in paths:
            digests[path] = files.file_digest(root / path)
            advance(1)
    both = {digests[path] for path, _ in images["train"]} & {digests[path] for path, _ in images["test"]}
    if both:
        print(f"{root}: warning: {len(both)} images stand in train and in test, byte for byte")
    return Tree(root, tuple(names), images, files.content_digest(sorted(digests.items())))


def pack(tree: Tree, data: Data, out: Path) -> None:
    """Write images, labels and their record into the folder `out`: the same images give the same bytes.

    Each image is turned as its EXIF says, converted to RGB, scaled until it covers a square of `data.side` pixels,
    and cut to it from its centre.

    Raises:
        AssayError: an image cannot be read; the line names it.
    """
    side = data.side
    if side is None:
        raise ValueError("a folder without a side does not pass the configuration's checks")
    with progress("packing images", sum(map(len, tree.images.values())), "images") as advance:
        for split, entries in tree.images.items():
            with (out / packed.images_name(split)).open("wb") as stream:
                stream.write(idx_header((len(entries), 3, side, side)))
                for path, _ in entries:
                    stream.write(read_image(tree.root / path, side).tobytes())
                    advance(1)
            labels = np.array([label for _, label in entries], dtype=">i4")
            (out / packed.labels_name(split)).write_bytes(idx_header(labels.shape, 0x0C) + labels.tobytes())
    record = packed.Record(
        class_names=list(tree.class_names),
        side=side,
        digest=tree.digest,
        counts={split: len(entries) for split, entries in tree.images.items()},
        files={path.name: files.file_digest(path) for path in sorted(out.iterdir())},
    )
    files.write_json(out / packed.RECORD, record.model_dump())


def read_image(path: Path, side: int) -> np.ndarray:
    """An image as bytes `(3, side, side)`.

    Raises:
        AssayError: it cannot be read, or has more than 8 bits a channel; the line names it.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise AssayError(f"{path}: more than 8 bits a channel (mode {image.mode}); save it with 8")
            upright = ImageOps.exif_transpose(image).convert("RGB")
            square = ImageOps.fit(upright, (side, side), method=Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise AssayError(f"{path}: not a readable image: {error}") from None
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def _classes(split: Path) -> dict[str, Path]:
    if not split.is_dir():
        raise AssayError(f"{split}: no such folder; images belong in {split}/<class>/")
    return {path.name: path for path in split.iterdir() if path.is_dir() and not path.name.startswith(".")}


def _images(root: Path, folder: Path) -> list[str]:
    """The images of a class, in folders below it too, as paths from `root`, sorted."""
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file()]
    found = sorted(path.relative_to(root).as_posix() for path in paths if not path.name.startswith("."))
    if not found:
        raise AssayError(f"{folder}: no image in it ({', '.join(sorted(EXTENSIONS))})")
    return found
