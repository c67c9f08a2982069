"""`python -m benchmarks.large_data [--images 50000]`: own photographs of 224 pixels, from JPEGs to training steps.

Makes JPEGs like photographs in a temporary folder (smooth textures, edges and grain, so that a file has a photograph's
size) and reports

- seconds and peak memory of `download` and `prepare`, all their processes together;
- steps a second of a ResNet-18 with its images in memory, and memory-mapped and gathered ahead, in turn;
- what it costs to keep JPEGs in place of pixels (decision 0023): bytes an image, and images decoded a second of a core.

Each image takes about 340 kB of disk in the temporary folder (`TMPDIR`), which is removed at the end.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from assay import methods
from assay.core import config, runtime
from assay.core.errors import AssayError, one_line_errors
from assay.data.decoding import read_image
from assay.data.sets import prepared
from assay.data.sets.images import Preparation
from assay.engine.context import TrainContext
from benchmarks.engine import medians

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES, TEST_SHARE, SIDE = 10, 0.1, 224
DIFFERENT = 1000  # photographs; beyond, they are the same ones with other bytes after their end
SIZE = (320, 240)  # of a JPEG; width, height
QUALITY, KEPT_QUALITY = 90, 90
BYTES_AN_IMAGE = 36_000 + 2 * 3 * SIDE**2  # its JPEG, and its pixels in data/raw and data/prepared
STAGE = "from pathlib import Path; from assay.core.config import Data; from assay.data import {module}; {call}"
STAGES = {
    "download": ("sources", "sources.obtain({data}, Path('data/raw'))"),
    "prepare": ("preparation", "preparation.prepare(Path('data/raw'), {data}, Path('data/prepared'))"),
}
SECONDS_BETWEEN_LOOKS = 0.05


@cache
def _grain() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 9, (2 * SIZE[1], 2 * SIZE[0], 1)).astype(np.float32)


@cache
def photograph(number: int, label: int) -> bytes:
    """A JPEG that depends on its number alone, with a hue by its class."""
    draw, (width, height) = np.random.default_rng(number), SIZE
    image = np.zeros((height, width, 3), dtype=np.float32)
    for cells, weight in ((4, 0.45), (16, 0.25), (64, 0.15)):
        coarse = draw.integers(0, 256, (cells * 3 // 4, cells, 3), dtype=np.uint8)
        image += weight * np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC), np.float32)
    top, left = draw.integers(0, height), draw.integers(0, width)
    image += _grain()[top : top + height, left : left + width]
    image[..., label % 3] += 4 * label
    stream = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def _photographs(root: Path, split: str, numbers: range) -> None:
    for number in numbers:
        path = root / split / f"class_{number % CLASSES}" / f"{number:08}.jpg"
        path.write_bytes(photograph(number % DIFFERENT, number % CLASSES) + number.to_bytes(4))


def generate(root: Path, images: int) -> int:
    """Write the photographs, in folders by split and class; gives the bytes of an average one."""
    test = max(CLASSES, int(TEST_SHARE * images))
    parts = [("train", range(start, min(start + 64, images - test))) for start in range(0, images - test, 64)]
    parts += [("test", range(start, min(start + 64, images))) for start in range(images - test, images, 64)]
    for split in ("train", "test"):
        for label in range(CLASSES):
            (root / split / f"class_{label}").mkdir(parents=True)
    with ProcessPoolExecutor(runtime.threads()) as pool:
        list(pool.map(partial(_photographs, root), *zip(*parts, strict=True)))
    return sum(path.stat().st_size for path in root.rglob("*.jpg")) // images


@dataclass(frozen=True)
class Ran:
    """What a stage took: seconds, and the most memory of all its processes at a time (shared pages count in each)."""

    seconds: float
    peak: int


def run_stage(name: str, folder: Path, data: config.Data) -> Ran:
    """Run a stage as a process in a folder, and look at the memory of it and its children."""
    module, call = STAGES[name]
    code = STAGE.format(module=module, call=call.format(data=f"Data(**{data.model_dump()!r})"))
    began, peak = time.perf_counter(), 0
    environment = {**os.environ, "ASSAY_DATA_DIR": str(folder / "own")}
    with subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=environment) as stage:
        whole = psutil.Process(stage.pid)
        while stage.poll() is None:
            total = 0
            for one in (whole, *_children(whole)):
                try:
                    total += one.memory_info().rss
                except psutil.Error:
                    continue
            peak = max(peak, total)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    if stage.returncode:
        raise AssayError(f"{name} ended with {stage.returncode}; its own lines above say why")
    return Ran(time.perf_counter() - began, peak)


def _children(whole: psutil.Process) -> list[psutil.Process]:
    try:
        return whole.children(recursive=True)
    except psutil.Error:
        return []


def step_of(folder: Path, share: str, device: torch.device, batch: int, model: str) -> Callable[[], object]:
    """A training step of a network, its images where this `ASSAY_IMAGE_MEMORY` puts them."""
    os.environ["ASSAY_IMAGE_MEMORY"] = share
    data = prepared.load(folder, device, ("train",))
    if data.in_memory != bool(float(share)):
        raise AssayError(f"{len(data.train.labels)} images do not fit into the memory of {device}: give fewer --images")
    train = config.Train(
        steps=10**6,
        batch_size=batch,
        optimizer=config.SGD(name="sgd", lr=0.01, momentum=0.9),
        evaluate_every=10**6,
        precision="bfloat16" if runtime.has_bfloat16(device) else "float32",
    )
    run = config.Run(arm="baseline", method="sgd", seeds=(0,), model=config.Model(name=model), train=train, options={})
    update, numbers = methods.make_update(TrainContext(run, data)), count()
    return lambda: update.step(next(numbers))


def steps_a_second(folder: Path, rounds: int, seconds: float, batch: int | None, model: str) -> dict[str, float]:
    """Steps a second in memory and from the map, in turn, medians over the rounds; and the loss in percent."""
    device = runtime.set_up()
    size = batch or (128 if device.type == "cuda" else 16)
    steps = {where: step_of(folder, share, device, size, model) for where, share in (("memory", "1"), ("map", "0"))}
    found = {where: 1 / each for where, each in medians(steps, rounds, seconds).items()}
    return {**found, "loss in percent": 100 * (1 - found["map"] / found["memory"])}


def jpeg_rates(root: Path) -> dict[str, float]:
    """What a core decodes: the user's JPEGs as `download` does, and JPEGs of the prepared size, and their bytes."""
    from torchvision.io import decode_jpeg

    paths = sorted(root.rglob("*.jpg"))[:200]
    small, square = [], Preparation(SIDE, SIDE)
    for path in paths:
        stream = io.BytesIO()
        pixels = read_image(path, square).pixels.transpose(1, 2, 0)
        Image.fromarray(pixels).save(stream, "JPEG", quality=KEPT_QUALITY)
        small.append(stream.getvalue())
    tensors = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in small]
    ways: dict[str, Callable[[], Any]] = {
        "a second of a core, the user's, as `download` reads it": lambda: [
            read_image(path, Preparation(SIDE, SIDE)) for path in paths
        ],
        "a second of a core, of 224 pixels, by Pillow": lambda: [
            np.asarray(Image.open(io.BytesIO(content))) for content in small
        ],
        "a second of a core, of 224 pixels, by torchvision": lambda: [decode_jpeg(tensor) for tensor in tensors],
    }
    torch.set_num_threads(1)
    rates = {}
    for way, act in ways.items():
        times = []
        for _ in range(5):
            began = time.process_time()  # of one thread, so a machine that does other things too gives the same
            act()
            times.append(time.process_time() - began)
        rates[way] = len(paths) / statistics.median(times)
    return {**rates, "bytes, of 224 pixels": sum(map(len, small)) / len(small), "bytes of its pixels": 3.0 * SIDE**2}


def main() -> None:
    """Generate, run both stages, train, decode; print a table, and with --out write it as JSON."""
    parser = argparse.ArgumentParser(description="Own photographs of 224 pixels, from JPEGs to training steps.")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batch", type=int, help="by default 16 on a CPU, 128 on a GPU")
    parser.add_argument("--rounds", type=int, default=5, help="of steps, in memory and from the map; 0 trains nothing")
    parser.add_argument("--seconds", type=float, default=20, help="of steps in a round")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    given = parser.parse_args()
    with one_line_errors():
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if free < (needed := given.images * BYTES_AN_IMAGE):
            said = f"{free / 1e9:.1f} GB are free in {tempfile.gettempdir()}, {needed / 1e9:.1f} are needed"
            raise AssayError(f"{said}; give fewer --images, or another folder as TMPDIR")
        with tempfile.TemporaryDirectory(prefix="assay-large-") as name:
            found = measure(Path(name), given)
    table = Table("what", "figure")
    for what, figure in found.items():
        table.add_row(what, f"{figure:,.2f}" if isinstance(figure, float) else str(figure))
    Console().print(table)
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measure(folder: Path, given: argparse.Namespace) -> dict[str, float | int | str]:
    """All figures, by what they are."""
    data = config.Data(name="folder", validation=max(CLASSES, given.images // 20), side=SIDE)
    began = time.perf_counter()
    found: dict[str, float | int | str] = {
        "images": given.images,
        "bytes of a JPEG": generate(folder / "own", given.images),
    }
    print(f"{given.images} JPEGs made in {time.perf_counter() - began:.0f} s", flush=True)
    found |= {f"JPEG, {way}": rate for way, rate in jpeg_rates(folder / "own").items()}
    for stage in STAGES:
        ran = run_stage(stage, folder, data)
        found |= {f"{stage}: seconds": ran.seconds, f"{stage}: peak of all processes, MB": ran.peak / 1e6}
        print(f"{stage}: {ran.seconds:.0f} s, at most {ran.peak / 1e6:.0f} MB", flush=True)
        if stage == "download":
            shutil.rmtree(folder / "own")
    shutil.rmtree(folder / "data/raw")
    if given.rounds:
        figures = steps_a_second(folder / "data/prepared", given.rounds, given.seconds, given.batch, given.model)
        found |= {f"{given.model}, steps a second: {where}": rate for where, rate in figures.items()}
    return found | {"processor": runtime.processor(), "threads": runtime.threads(), "device": runtime.device_name()}


if __name__ == "__main__":
    main()
