"""`make bench`: the engine against a plain loop, against the machine's ceiling, and what the pipeline adds.

The machine may be shared, so everything that is compared is measured in turn, round after round, and a ratio is the
median of the ratios within rounds.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from assay import config, methods
from assay.data.sets import prepared
from assay.foundation import files, runtime
from assay.foundation.errors import AssayError, one_line_errors
from assay.training.task import Task
from benchmarks import sampler
from benchmarks.plain import PlainLoop, finish, matrix_product_rate, step_operations

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path("benchmarks/results.json")
ROUNDS, COPIES, BATCH = 25, (1, 5, 10), 60
LINE = "line step against a baseline step"
PREPARED, RAW = Path("data/prepared"), Path("data/raw")


def seconds_a_step(step: Callable[[], object], steps: int) -> float:
    """Mean seconds of `steps` calls."""
    finish()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    finish()
    return (time.perf_counter() - start) / steps


def stack_step(copies: int, **changes: object) -> Callable[[], object]:
    """A step of our stack of so many copies, everything included: sampling, gathering, gradients, update, counters.

    `changes` to the baseline's run make it another method's, or another network's.
    """
    settings = config.read("seeds", "model", "train")
    run = settings.baseline().model_copy(update={"seeds": tuple(range(copies)), **changes})
    data = prepared.load(PREPARED, runtime.set_up(), ("train", "validation"))
    update = methods.make_update(Task(run, data))
    counter = iter(range(sys.maxsize))
    return lambda: update.step(next(counter))


def measure_engine() -> dict[str, object]:
    """Parts (a) and (b): milliseconds a step and copy, and the share of the matrix-product ceiling."""
    device = runtime.set_up()
    with tempfile.TemporaryDirectory() as root:
        contenders = {
            "plain loop": (PlainLoop(RAW, Path(root), BATCH, 0, device).step, 20, 1),
            "plain loop, 2 workers": (PlainLoop(RAW, Path(root), BATCH, 2, device).step, 20, 1),
            **{f"stack of {copies}": (stack_step(copies), 200 // copies, copies) for copies in COPIES},
        }
        for step, steps, _ in contenders.values():
            seconds_a_step(step, steps // 4)
        rounds: dict[str, list[float]] = {name: [] for name in contenders}
        ceilings: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(ROUNDS):
            for name, (step, steps, copies) in contenders.items():
                before = matrix_product_rate(device)
                seconds_a_step(step, 2)  # a training meets caches that hold its own data, not the contender's before
                rounds[name].append(seconds_a_step(step, steps) / copies)
                ceilings[name].append((before + matrix_product_rate(device)) / 2)
    operations = step_operations(BATCH)
    table = {}
    for name, times in rounds.items():
        table[name] = {
            "milliseconds a step and copy": round(1e3 * statistics.median(times), 3),
            "times faster than plain": round(statistics.median(_ratios(rounds["plain loop"], times)), 2),
            "share of the ceiling": round(
                statistics.median(_ratios([operations / seconds for seconds in times], ceilings[name])), 3
            ),
        }
    return {
        "operations a step": operations,
        "matrix product, GFLOP/s": round(
            statistics.median(rate for each in ceilings.values() for rate in each) / 1e9, 1
        ),
        "rounds": ROUNDS,
        "contenders": table,
    }


def measure_line() -> dict[str, float]:
    """Part (b'): how often as long a step of a line takes as one of the baseline, both of the same network."""
    found = {}
    options = {"shape": "line", "beta": 1.0}
    for name, key, copies, steps in (("lenet_300_100", LINE, 5, 20), ("resnet_20", f"{LINE}, resnet_20", 1, 1)):
        model = config.Model(name=name)
        plain = stack_step(copies, model=model)
        line = stack_step(copies, model=model, method="subspace", options=options)
        times: dict[str, list[float]] = {"plain": [], "line": []}
        for _ in range(ROUNDS + 1):
            times["plain"].append(seconds_a_step(plain, steps))
            times["line"].append(seconds_a_step(line, steps))
        found[key] = round(statistics.median(_ratios(times["line"][1:], times["plain"][1:])), 2)
    return found


def measure_sampler() -> dict[str, float]:
    """Part (b''): forward samples a second of trajectory sampling, and their share of the ceiling."""
    found = sampler.measure()
    return {f"trajectory, {name}": value for name, value in found.items()}


def _ratios(numerators: list[float], denominators: list[float]) -> list[float]:
    return [numerator / denominator for numerator, denominator in zip(numerators, denominators, strict=True)]


def measure_pipeline() -> dict[str, float]:
    """Part (c): a `dvc repro` that has nothing to do, and the seconds before a stage's first step."""
    idle = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(["dvc", "repro"], capture_output=True, text=True, check=False)
        idle.append(time.perf_counter() - start)
        if done.returncode or "Running stage" in done.stdout:
            raise AssayError("dvc repro had something to do; run `make repro` first, then `make bench`")
    return {
        "seconds of an idle dvc repro": round(statistics.median(idle), 2),
        "seconds before a stage's first step": round(statistics.median(start_up() for _ in range(3)), 2),
    }


def start_up() -> float:
    """Run the baseline stage for one step in a folder of its own; gives the seconds before that step."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        params = YAML(typ="safe").load(config.PARAMS_FILE)
        params["train"]["steps"] = 1  # too few for most arms, which this stage does not train
        params = {name: params[name] for name in ("seeds", "data", "model", "train")} | {"arms": {}, "claims": []}
        with (place / config.PARAMS_FILE).open("w") as stream:
            YAML().dump(params, stream)
        shutil.copytree(PREPARED, place / PREPARED)
        command = [sys.executable, "-m", "stages.baseline"]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        subprocess.run(command, cwd=place, env=environment, check=True, capture_output=True)
        seconds: float = files.read_json(place / "metrics/timings/baseline.json")["start_up_seconds"]
        return seconds


def show(results: dict[str, object]) -> None:
    """Print the tables."""
    console = Console(highlight=False)
    engine = results["engine"]
    table = Table("", "ms a step and copy", "× plain", "of the ceiling", title="LeNet-300-100, batch 60, MNIST")
    for name, row in engine["contenders"].items():  # type: ignore[index]
        table.add_row(name, *(f"{value:.3f}" if value < 1 else f"{value:.2f}" for value in row.values()))
    console.print(table)
    console.print(f"Ceiling: {engine['matrix product, GFLOP/s']} GFLOP/s in a large matrix product.")  # type: ignore[index]
    for part in ("methods", "pipeline"):
        for name, value in results[part].items():  # type: ignore[attr-defined]
            console.print(f"{name}: {value}")


def main() -> None:
    """Measure, print, and write `benchmarks/results.json`, or for another device `results-<device>.json`."""
    device = runtime.set_up()
    if not PREPARED.exists():
        raise AssayError(f"{PREPARED}: not found; run `make repro` first, then `make bench`")
    name = torch.cuda.get_device_name() if device.type == "cuda" else processor()
    results = {
        "machine": {"processor": name, "device": device.type, "threads": runtime.threads()},
        "engine": measure_engine(),
        "methods": {**measure_line(), **measure_sampler()},
        "pipeline": measure_pipeline(),
    }
    show(results)
    place = RESULTS if device.type == "cpu" else RESULTS.with_stem(f"{RESULTS.stem}-{device.type}")
    files.write_json(place, results)


def processor() -> str:
    """The processor's name, as the system has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    with one_line_errors():
        main()
