"""`assay init FOLDER`: a params.yaml for a folder of images, small enough for a first verdict in minutes.

It looks at the pictures, measures how fast this machine trains, and writes an experiment of four arms with their
claims. Nothing is trained.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from string import Template
from typing import TYPE_CHECKING, Any

import torch

from assay import methods
from assay.core import config, files, runtime
from assay.core.config import PARAMS_FILE, SEEDS_FILE
from assay.core.config.blocks import NO_BLOCKS
from assay.core.config.parsing import parse
from assay.core.errors import AssayError
from assay.core.plain import yaml_of
from assay.data import folder as own
from assay.data import listing, splits
from assay.data.decoding import shown
from assay.data.sets.images import Images
from assay.data.sets.prepared import Prepared, Split
from assay.engine.context import TrainContext
from assay.methods import checks
from assay.pipeline.plan import duration

if TYPE_CHECKING:
    from assay.data.listing import Tree

SEEDS = 10  # with fewer no claim is decided (`claim.LEAST_SEEDS`)
SAMPLE = 200  # images that are opened
SIDES = (32, 48, 64, 96, 128, 160, 224)
LARGEST_SIDE = {"cpu": 64, "cuda": 224}
NEAR_SQUARE, MOSTLY = (0.75, 1.34), 0.9  # height over width; if most images are such, the rest is cut off
SHARE_OF_TEST, SHARE_OF_VALIDATION = 0.2, 0.1
BATCHES, LEAST_EXAMPLES = (128, 64, 32, 16, 8), 64
GOOD_EPOCHS, MOST_EPOCHS, LEAST_EPOCHS = 5, 40, 2
SUBSET_COST = 0.4  # the steps of `subset` and `scratch`, to those of the others
WORK = 1.25 * (3 + 2 * SUBSET_COST)  # trainings of the baseline's length, with evaluation and the reading of data

TEMPLATE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Looks:
    """What a sample of the pictures is like: medians in pixels, and shares from 0 to 1."""

    shorter: int
    near_square: float
    grey: bool


def main(folder: Path, minutes: float = 10.0) -> None:
    """Write params.yaml for the images in `folder`, and let data/own lead there, unless `ASSAY_DATA_DIR` does.

    Raises:
        AssayError: the folder is not laid out as images have to be, or data/own holds others; a line each.
    """
    if not folder.is_dir():
        raise AssayError(f"{shown(folder)}: no such folder; name the one that holds your images")
    tree = listing.scan(folder)
    listing.raise_all(tree.unreadable_lines())
    root = _place(folder)
    looks = _look(tree)
    print(*(shown(line) for line in _told(tree, looks)), sep="\n", flush=True)
    text, about = propose(tree.counts, len(tree.class_names), looks, runtime.set_up(), minutes)
    checks.check(parse(config.Params, yaml_of(text, str(PARAMS_FILE)), str(PARAMS_FILE)), about)
    if not root.exists():
        root.unlink(missing_ok=True)  # a link that led elsewhere
        root.parent.mkdir(parents=True, exist_ok=True)
        root.symlink_to(folder.resolve(), target_is_directory=True)
        print(f"{root}: now a link to {shown(folder.resolve())}")
    files.write_text(PARAMS_FILE, text)
    if SEEDS_FILE.exists():  # its seeds were of other arms
        files.write_text(SEEDS_FILE, NO_BLOCKS.text())
    print(f"{PARAMS_FILE}: written; read it, then `make repro`. git diff shows it, git checkout undoes it")


def _place(folder: Path) -> Path:
    """Where images are looked for: there already, or yet to be linked to the folder."""
    root = own.root_of_images()
    if os.environ.get(own.VARIABLE) and not (root.is_dir() and root.samefile(folder)):
        raise AssayError(f"{own.VARIABLE}={root}: another folder; unset it, or set it to {shown(folder)}")
    if root.exists() and not root.samefile(folder):
        remedy = "remove the link" if root.is_symlink() else "move them away"
        raise AssayError(f"{root}: holds other images; {remedy}, or set {own.VARIABLE} to {shown(folder)}")
    return root


def _look(tree: Tree) -> Looks:
    """Open some of the images, evenly spaced; one that cannot be opened is for `download` to name."""
    from PIL import Image, ImageChops

    paths = [path for entries in tree.images.values() for path, _ in entries]
    shorter, shapes, grey = list[int](), list[float](), True
    for path in paths[:: math.ceil(len(paths) / SAMPLE)]:
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(tree.root / path) as image:
                width, height = image.size
                image.draft("RGB", (64, 64))
                small = image.convert("RGB").resize((32, 32))
        except Exception:  # noqa: S112 (a decoder may raise anything)
            continue
        shorter.append(min(width, height))
        shapes.append(height / width)
        red, green, blue = small.split()
        grey &= not any(ImageChops.difference(red, other).getbbox() for other in (green, blue))
    if not shorter:
        raise AssayError(f"{tree.root}: none of {len(paths)} files could be opened as an image")
    low, high = NEAR_SQUARE
    return Looks(int(median(shorter)), sum(low <= shape <= high for shape in shapes) / len(shapes), grey)


def _told(tree: Tree, looks: Looks) -> list[str]:
    """What was seen, for the owner of the images."""
    sizes = Counter(label for entries in tree.images.values() for _, label in entries)
    (most, largest), (least, smallest) = sizes.most_common(1)[0], sizes.most_common()[-1]
    total, names = sum(sizes.values()), tree.class_names
    kept = ", ".join(f"{split} {number}" for split, number in tree.counts.items())
    colour = "all grey" if looks.grey else "in colour"
    shapes = f"shorter side {looks.shorter} pixels (median), {100 * looks.near_square:.0f} % near square"
    shares = [f"{names[one]} ({n}, {100 * n / total:.0f} %)" for one, n in ((most, largest), (least, smallest))]
    return [
        f"{tree.root}: {total} images ({kept}) in {len(names)} classes, {colour}, {shapes}",
        f"largest class {shares[0]}, smallest {shares[1]}",
        *own.copies(tree, held_out=True),
    ]


def propose(
    counts: dict[str, int], classes: int, looks: Looks, device: torch.device, minutes: float
) -> tuple[str, tuple[Images, int]]:
    """The text of params.yaml for such images; and their shape with the number that is left to train on."""
    test = 0 if "test" in counts else max(classes, round(SHARE_OF_TEST * counts["train"]))
    left = counts["train"] - test
    validation = 0 if "validation" in counts else max(classes, round(SHARE_OF_VALIDATION * left))
    examples, channels = left - validation, 1 if looks.grey else 3
    if examples < LEAST_EXAMPLES:
        few = f"{sum(counts.values())} images are too few: {max(0, examples)} are left to train on"
        raise AssayError(f"{few}, and {LEAST_EXAMPLES} are needed")
    batch = next(size for size in BATCHES if examples >= 8 * size)
    shapes = [side for side in SIDES if side <= min(max(SIDES[0], looks.shorter), LARGEST_SIDE[device.type])]
    lr, augment, width = 0.2 * batch / 128, "crop" if looks.grey else "crop_flip", 16
    for side in reversed(shapes):
        images = Images(channels, side, side, classes)
        seconds = examples * SEEDS * WORK / _rate(images, batch, width, lr, augment, device)  # of an epoch of all arms
        epochs = min(MOST_EPOCHS, 60 * minutes / seconds)
        if epochs >= GOOD_EPOCHS:
            break
    if epochs < LEAST_EPOCHS:
        print(f"{minutes:g} minutes are {epochs:.1f} epochs of {examples} images; {LEAST_EPOCHS} are proposed")
        epochs = LEAST_EPOCHS
    steps = round(epochs * (examples // batch))
    short = round(SUBSET_COST * steps)
    content = {
        "images": f"{sum(counts.values()):,}", "classes": classes, "minutes": duration(epochs * seconds),
        "seeds": list(range(SEEDS)), "side": side, "median": looks.shorter, "channels": images.channels,
        "fit": "crop" if looks.near_square >= MOSTLY else "pad", "augment": augment, "validation": validation,
        "test": f"  test: {test}              # images held out to report on\n" if test else "", "width": width,
        "steps": steps, "epochs": f"{epochs:.1f}", "batch": batch, "lr": lr, "warmup": max(1, steps // 10),
        "every": max(1, steps // 10), "cycle": max(1, steps // 64), "swa_lr": lr / 4, "short": short,
        "short_warmup": max(1, short // 20),
    }  # fmt: skip
    left_over = {"validation": counts.get("validation", validation), "test": counts.get("test", test)}
    print(splits.told({"train": examples, **left_over}))
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(content), (images, examples)


def _rate(images: Images, batch: int, width: int, lr: float, augment: Any, device: torch.device) -> float:
    """Images a second that a stack of `SEEDS` copies trains on here, everything included."""
    noise = torch.randint(0, 256, (1024, *images.shape), dtype=torch.uint8, device=device)
    split = Split(noise, torch.randint(0, images.classes, (1024,), device=device))
    mean, std = ((value,) * images.channels for value in (127.5, 73.6))
    data = Prepared("noise", images, (), mean, std, augment, "", split, split, split)
    optimizer = config.SGD(name="sgd", lr=lr, momentum=0.9, nesterov=True)
    train = config.Train(steps=10**6, batch_size=batch, optimizer=optimizer, evaluate_every=10**6)
    model = config.Model.model_validate({"name": "small_cnn", "width": width})
    run = config.Run(arm="rate", method="sgd", seeds=tuple(range(SEEDS)), model=model, train=train, options={})
    update, numbers = methods.make_update(TrainContext(run, data)), count()
    update.step(next(numbers))
    began, steps = time.perf_counter(), 0
    while (seconds := time.perf_counter() - began) < 2:
        update.step(next(numbers))
        steps += 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return steps * batch * SEEDS / seconds
