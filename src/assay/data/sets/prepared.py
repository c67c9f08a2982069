"""data/prepared: the three splits as tensors, in a few files that are loaded onto the device, or mapped into memory.

Images are loaded where all of those that are asked for fit into a share of the device's free memory
(`ASSAY_IMAGE_MEMORY`). Else they stay on the host, memory-mapped, and what a step needs is copied to the device.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file

from assay.core import files, runtime
from assay.core.errors import AssayError, again
from assay.core.plain import read_json
from assay.data.sets.images import SPLITS, Fit, Images, Preparation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from jaxtyping import Int64, UInt8
    from torch import Tensor

    from assay.core.config import Augment

META = "meta.json"
_FILES = {split: f"{split}.safetensors" for split in SPLITS}
_READ = {"name", "images", "class_names", "counts", "mean", "std", "augment", "files", "digest"}  # of meta.json


@dataclass(frozen=True)
class Split:
    """Examples of one split: raw pixels, on the device or the host, and labels from 0 to classes - 1, on the device."""

    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]

    def at(self, positions: Int64[Tensor, ...]) -> UInt8[Tensor, "m c h w"]:
        """The images at these positions, flattened, on the device."""
        positions = positions.flatten().to(self.images.device)
        return self.images.index_select(0, positions).to(self.labels.device)


@dataclass(frozen=True)
class Prepared:
    """A data set, ready to train on; `device` is where."""

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
    fit: Fit = field(default="crop", kw_only=True)  # how the user's own images were brought to this height and width
    in_memory: bool = field(default=True, kw_only=True)  # else images are on the host, and batches are gathered ahead

    @property
    def device(self) -> torch.device:
        """Where everything runs. Images may lie elsewhere."""
        return self.train.labels.device

    @property
    def preparation(self) -> Preparation:
        """What becomes of an image file that is to be predicted."""
        return Preparation(self.images.height, self.images.width, self.fit, self.images.channels)


def write(
    folder: Path, data: Prepared, images: Mapping[str, Iterable[UInt8[np.ndarray, "m c h w"]]] | None = None
) -> str:
    """Write splits and meta.json as a directory, whole or not at all; equal data gives equal bytes.

    Args:
        folder: the directory.
        data: what is written; its digest is ignored.
        images: for each split, its images in parts, one in memory at a time; those of `data` are then ignored.

    Returns:
        The digest that `load` will give it.
    """
    with files.replacing(folder) as temporary:
        temporary.mkdir()
        splits: dict[str, Split] = {name: getattr(data, name) for name in SPLITS}
        for name, split in splits.items():
            parts = images[name] if images else [split.images.cpu().numpy()]
            with (temporary / _FILES[name]).open("wb") as stream:
                stream.write(_header(len(split.labels), data.images.shape))
                stream.write(split.labels.cpu().numpy().astype("<i8").tobytes())
                for part in parts:
                    stream.write(np.ascontiguousarray(part).data)
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

    Images that take more memory than `runtime.image_memory` gives them stay on the host, memory-mapped. Those of a CPU
    are memory-mapped in any case.

    Raises:
        AssayError: a file is missing, damaged or altered; the line names it.
    """
    path, missing, damaged = folder / META, "`dvc repro prepare` writes it", again(folder)
    meta = read_json(path, missing, damaged)
    if not isinstance(meta, dict) or not meta.keys() >= _READ or meta["digest"] != _digest(meta):
        raise AssayError(f"{path}: altered: it does not have the digest that it names; {damaged}")
    images = Images(**meta["images"])
    in_memory = sum(meta["counts"][name] for name in splits) * math.prod(images.shape) <= runtime.image_memory(device)
    found = {}
    for name in SPLITS:
        path = folder / _FILES[name]
        if name not in splits:
            none = torch.empty((0, *images.shape), dtype=torch.uint8, device=device)
            found[name] = Split(none, torch.empty(0, dtype=torch.int64, device=device))
        elif not path.is_file():
            raise AssayError(f"{path}: not found; {missing}")
        elif files.file_digest(path) != meta["files"][path.name]:
            raise AssayError(f"{path}: damaged or altered: not the SHA-256 in {META}; {damaged}")
        else:
            tensors = load_file(path, device=str(device) if in_memory else "cpu")
            found[name] = Split(tensors["images"], tensors["labels"].to(device))
    class_names, mean, std = (tuple(meta[key]) for key in ("class_names", "mean", "std"))
    about = (meta["name"], images, class_names, mean, std, meta["augment"], meta["digest"])
    own = {"fit": meta.get("fit", "crop"), "in_memory": in_memory}
    return Prepared(*about, *(found[name] for name in SPLITS), **own)


def _header(count: int, shape: tuple[int, ...]) -> bytes:
    """The bytes before the tensors, labels and then images, in a file of the format safetensors, as its library writes.

    Written here, since the library's writer needs all tensors in memory.
    """
    size = 8 * count
    entries = {
        "labels": {"dtype": "I64", "shape": [count], "data_offsets": [0, size]},
        "images": {"dtype": "U8", "shape": [count, *shape], "data_offsets": [size, size + count * math.prod(shape)]},
    }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _digest(meta: dict[str, Any]) -> str:
    """The digest of all but the name and the augmentation."""
    return files.content_digest({key: meta[key] for key in meta.keys() - {"name", "augment", "digest"}})
