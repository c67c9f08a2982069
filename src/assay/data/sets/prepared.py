"""data/prepared: the three splits as tensors, in a few files that load straight onto the device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from assay.core import files
from assay.core.errors import AssayError, again
from assay.core.plain import read_json
from assay.data.sets.images import SPLITS, Fit, Images, Preparation

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from jaxtyping import Int64, UInt8
    from torch import Tensor

    from assay.core.config import Augment

META = "meta.json"
_FILES = {split: f"{split}.safetensors" for split in SPLITS}
_READ = {"name", "images", "class_names", "mean", "std", "augment", "files", "digest"}  # of meta.json, beside `counts`


@dataclass(frozen=True)
class Split:
    """Examples of one split: raw pixels, and labels from 0 to classes - 1."""

    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]


@dataclass(frozen=True)
class Prepared:
    """A data set on the device."""

    name: str
    images: Images  # the shape of one image and the number of classes
    class_names: tuple[str, ...]  # by label
    mean: tuple[float, ...]  # of the training split, per channel, on the scale of the pixels (0 to 255)
    std: tuple[float, ...]  # likewise
    augment: Augment  # what training does to its images, unless an arm has its own
    digest: str  # of everything above but the name and the augmentation, and of all images and labels
    train: Split
    validation: Split  # held out of the training set, or a split of the user's own; it may be empty
    test: Split
    fit: Fit = "crop"  # how the user's own images were brought to this height and width

    @property
    def preparation(self) -> Preparation:
        """What becomes of an image file that is to be predicted."""
        return Preparation(self.images.height, self.images.width, self.fit, self.images.channels)


def write(folder: Path, data: Prepared) -> str:
    """Write splits and meta.json as a directory, whole or not at all; equal data gives equal bytes.

    Returns:
        The digest that `load` will give it; `data.digest` is ignored.
    """
    with files.replacing(folder) as temporary:
        temporary.mkdir()
        splits: dict[str, Split] = {name: getattr(data, name) for name in SPLITS}
        for name, split in splits.items():
            tensors = {"images": split.images.cpu().contiguous(), "labels": split.labels.cpu().contiguous()}
            save_file(tensors, temporary / _FILES[name])
        meta: dict[str, Any] = {
            "name": data.name,
            "images": asdict(data.images),
            "class_names": data.class_names,
            "counts": {name: len(split.labels) for name, split in splits.items()},
            "mean": data.mean,
            "std": data.std,
            "augment": data.augment,
            "files": {name: files.file_digest(temporary / name) for name in _FILES.values()},
        }
        if data.fit != "crop":  # what is usual is not written, so that digests stay
            meta["fit"] = data.fit
        meta["digest"] = digest = _digest(meta)
        files.write_json(temporary / META, meta)
    return digest


def load(folder: Path, device: torch.device, splits: Collection[str] = SPLITS) -> Prepared:
    """Load a prepared data set onto a device; the splits not asked for are empty.

    Raises:
        AssayError: a file is missing, damaged or altered; the line names it.
    """
    path, missing, damaged = folder / META, "`dvc repro prepare` writes it", again(folder)
    meta = read_json(path, missing, damaged)
    if not isinstance(meta, dict) or not meta.keys() >= _READ or meta["digest"] != _digest(meta):
        raise AssayError(f"{path}: altered: it does not have the digest that it names; {damaged}")
    images = Images(**meta["images"])
    found = {}
    for name in SPLITS:
        path = folder / _FILES[name]
        if name not in splits:
            found[name] = Split(torch.empty((0, *images.shape), dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
        elif not path.is_file():
            raise AssayError(f"{path}: not found; {missing}")
        elif files.file_digest(path) != meta["files"][path.name]:
            raise AssayError(f"{path}: damaged or altered: not the SHA-256 in {META}; {damaged}")
        else:
            found[name] = Split(**load_file(path, device=str(device)))
    class_names, mean, std = (tuple(meta[key]) for key in ("class_names", "mean", "std"))
    return Prepared(
        meta["name"],
        images,
        class_names,
        mean,
        std,
        meta["augment"],
        meta["digest"],
        **found,
        fit=meta.get("fit", "crop"),
    )


def _digest(meta: dict[str, Any]) -> str:
    """The digest of all but the name and the augmentation."""
    return files.content_digest({key: meta[key] for key in meta.keys() - {"name", "augment", "digest"}})
