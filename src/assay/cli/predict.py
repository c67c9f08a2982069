"""`assay predict FOLDER_OR_FILE`: classes and probabilities of image files, as CSV, by a model that was trained."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from assay.core import config, files, runtime
from assay.core.config import split_variant
from assay.core.config.blocks import read_blocks
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError
from assay.core.plain import csv_of
from assay.data.decoding import extensions, is_image, read_image, shown
from assay.data.listing import raise_all
from assay.data.progress import Progress
from assay.models import artifact, predictor
from assay.tracking import champion
from assay.tracking.records import ArmRecord, Meta, read_arm, read_meta
from assay.tracking.served import columns

ROWS = 256  # images in memory at once
DECIMALS = 6


def main(path: Path, model: str = champion.ALIAS, out: Path = Path("predictions.csv")) -> None:
    """Write `out`: a row for each image file, with its path, its class and the probability of each class.

    `path` is an image, or a folder of which all images are taken, those of folders below it too. The model is the
    champion, or a variant by its name, such as `line/midpoint`. Files are prepared as those that it was trained on.

    Raises:
        AssayError: there is no such model, or no image, or images that cannot be read: a line each, and nothing is
            written.
    """
    images, meta = _images(path), read_meta(Path())
    arm, variant = _chosen(model, meta)
    part, seed = arm.place(index := arm.best_seed(variant))
    network = predictor.of_variant(artifact.read(part.model), variant, seed, meta)
    network = network.to(device := runtime.set_up())
    rows, wrong = list[list[str]](), list[str]()
    with closing(Progress("predicting", len(images), "images")) as bar, torch.no_grad():
        for start in range(0, len(images), ROWS):
            chunk, pixels = images[start : start + ROWS], list[np.ndarray]()
            for image in chunk:
                try:
                    pixels.append(read_image(image, meta.preparation).pixels)
                except AssayError as error:
                    wrong.append(str(error))
            bar.update(len(chunk))
            if wrong:  # nothing will be written, and the other files are tried, so that all that is wrong is told
                continue
            shares = network(torch.from_numpy(np.stack(pixels)).to(device)).cpu().numpy()
            for image, own in zip(chunk, shares, strict=True):
                place = shown((image.relative_to(path) if path.is_dir() else image).as_posix())
                rows.append([place, meta.class_names[int(own.argmax())], *(f"{share:.{DECIMALS}f}" for share in own)])
    raise_all(wrong)
    files.write_text(out, csv_of(["path", *columns(meta.class_names)], rows))
    by = f"{arm.name}/{variant}, seed {arm.manifest.seeds[index]}"
    print(f"{out}: {len(rows)} image{'s' * (len(rows) != 1)}, classified by {by}")


def _images(path: Path) -> list[Path]:
    """The image files at or below a path, sorted; what is hidden is passed over."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise AssayError(f"{shown(path)}: no such file or folder; name an image, or a folder of images")
    found: list[Path] = []
    for folder, below, names in os.walk(path):
        below[:] = [name for name in below if not name.startswith(".")]
        seen = (Path(folder) / name for name in names if not name.startswith("."))
        there = [one for one in seen if one.is_file()]  # no pipe, which would be waited for
        found += [one for one in there if (one.suffix.lower() in extensions() if one.suffix else is_image(one))]
    if not found:
        raise AssayError(f"{shown(path)}: no image in it")
    return sorted(found)


def _chosen(model: str, meta: Meta) -> tuple[ArmRecord, str]:
    """The arm and variant that a name stands for."""
    blocks, arms = read_blocks(), [run.arm for run in config.load().runs()]
    if model == champion.ALIAS:
        best = champion.choose(read_arm(Path(), name, meta, blocks.of(name)) for name in arms)
        if best is None:
            raise AssayError(
                f"--model: no {model}: nothing was validated (data.validation is 0); name one of {', '.join(arms)}"
            )
        return best
    name, variant = split_variant(model)
    if name not in arms:
        raise AssayError(f"--model: no arm {name!r}; {suggestion(name, [champion.ALIAS, *arms])}")
    arm = read_arm(Path(), name, meta, blocks.of(name))
    if variant is not None and variant not in arm.manifest.variants:
        raise AssayError(
            f"--model: {name} has no variant {variant!r}; {suggestion(variant, list(arm.manifest.variants))}"
        )
    return arm, variant or arm.first
