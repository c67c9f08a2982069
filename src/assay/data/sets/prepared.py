"""data/prepared: the three splits as tensors, in a few files that load straight onto the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file

from assay.core import files
from assay.core.config import parsing
from assay.core.errors import AssayError, again
from assay.data.sets.images import Images  # noqa: TC001 (pydantic reads annotations at run time)

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from jaxtyping import Int64, UInt8
    from torch import Tensor

SPLITS = ("train", "validation", "test")
META = "meta.json"
_FILES = {split: f"{split}.safetensors" for split in SPLITS}
_SHARED = ("name", "images", "class_names", "mean", "std", "augment", "digest")  # by meta.json and Prepared


@dataclass(frozen=True)
class Split:
    """Examples of one split: raw pixels, and labels from 0 to classes - 1."""

    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]


@dataclass(frozen=True)
class Prepared:
    """A data set on the device.

    Attributes:
        name: of the data set.
        images: the shape of one image and the number of classes.
        class_names: by label.
        mean: of the training split, per channel, on the scale of the pixels (0 to 255).
        std: likewise.
        augment: what training does to its images: `none`, `crop` or `crop_flip`.
        digest: of everything above but the name and the augmentation, and of all images and labels.
        train: what networks are trained on.
        validation: held out of it, or a split of the user's own; it may be empty.
        test: what verdicts are about.
    """

    name: str
    images: Images
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Literal["none", "crop", "crop_flip"]
    digest: str
    train: Split
    validation: Split
    test: Split


class Meta(BaseModel):
    """The content of meta.json; `files` has the SHA-256 of each split's file, `counts` its number of examples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    images: Images
    class_names: tuple[str, ...]
    counts: dict[str, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Literal["none", "crop", "crop_flip"]
    files: dict[str, str]
    digest: str = ""

    def content_digest(self) -> str:
        """The digest of all but the name and the augmentation."""
        return files.content_digest(self.model_dump(mode="json", exclude={"name", "augment", "digest"}))


def write(folder: Path, data: Prepared) -> str:
    """Write a data set as a directory, whole or not at all; equal data gives equal bytes.

    Returns:
        The digest that `load` will give it; `data.digest` is ignored.
    """
    with files.replacing(folder) as temporary:
        temporary.mkdir()
        splits: dict[str, Split] = {name: getattr(data, name) for name in SPLITS}
        for name, split in splits.items():
            tensors = {"images": split.images.cpu().contiguous(), "labels": split.labels.cpu().contiguous()}
            save_file(tensors, temporary / _FILES[name])
        meta = Meta(
            **{name: getattr(data, name) for name in _SHARED},
            counts={name: len(split.labels) for name, split in splits.items()},
            files={name: files.file_digest(temporary / name) for name in _FILES.values()},
        )
        meta = meta.model_copy(update={"digest": meta.content_digest()})
        files.write_json(temporary / META, meta.model_dump(mode="json"))
    return meta.digest


def load(folder: Path, device: torch.device, splits: Collection[str] = SPLITS) -> Prepared:
    """Load a prepared data set onto a device; the splits not asked for are empty.

    Raises:
        AssayError: a file is missing, damaged or altered; the line names it.
    """
    path = folder / META
    meta = parsing.read(Meta, path, "`dvc repro prepare` writes it", again(folder))
    if meta.digest != meta.content_digest():
        raise AssayError(f"{path}: altered: it does not have the digest that it names; {again(folder)}")
    content: dict[str, Any] = {name: getattr(meta, name) for name in _SHARED}
    for name in SPLITS:
        empty = Split(torch.empty((0, *meta.images.shape), dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
        content[name] = _load(folder / _FILES[name], meta, device) if name in splits else empty
    return Prepared(**content)


def _load(path: Path, meta: Meta, device: torch.device) -> Split:
    if not path.is_file():
        raise AssayError(f"{path}: not found; `dvc repro prepare` writes it")
    if files.file_digest(path) != meta.files.get(path.name):
        raise AssayError(f"{path}: damaged or altered: not the SHA-256 in {META}; {again(path.parent)}")
    return Split(**load_file(path, device=str(device)))
