"""`make bench`: the engine against a plain loop, against the machine's ceiling, and what the pipeline adds.

The machine may be shared, so everything that is compared is measured in turn, round after round, in several processes,
and a ratio is the median of the ratios within rounds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from assay.core import config, files, runtime
from assay.core.errors import AssayError, one_line_errors
from benchmarks import engine, sampler, torture
from benchmarks.engine import BATCH, PREPARED, seconds_a_step, stack_step

if TYPE_CHECKING:
    from collections.abc import Mapping

RESULTS = Path("benchmarks/results.json")
PROCESSES, LINE_ROUNDS, REPEATS = 5, 25, 3
LINE = "line step against a baseline step"
SMALL = {  # the baseline and one arm
    **torture.PARAMS,
    "model": {"name": "linear"},
    "arms": {"cyclic": {"method": "sgd", "batches": "fixed"}},
    "lottery": {"prune_fraction": 0.2, "scope": "layerwise", "rewind": 0, "rounds": {}, "controls": []},
    "claims": [],
}


def measure_engine() -> dict[str, Any]:
    """Parts (a) and (b): milliseconds a step and copy, and the share of the matrix-product ceiling."""
    processes = []
    for _ in range(PROCESSES):
        command = [sys.executable, "-m", "benchmarks.engine"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise AssayError(f"python -m benchmarks.engine ended with exit code {done.returncode}; why stands above")
        processes.append(json.loads(done.stdout))
    operations = engine.step_operations(BATCH)
    ceilings = [rate for found in processes for row in found.values() for rate in row["ceiling"]]
    return {
        "operations a step": operations,
        "matrix product, GFLOP/s": round(median(ceilings) / 1e9, 1),
        "processes": PROCESSES,
        "rounds": engine.ROUNDS,
        "contenders": engine.summarise(processes, operations),
    }


def measure_line() -> dict[str, float]:
    """Part (b'): how often as long a step of a line takes as one of the baseline, both of the same network."""
    found = {}
    options = {"shape": "line", "beta": 1.0}
    for name, key, copies, steps in (("lenet_300_100", LINE, 5, 20), ("resnet_20", f"{LINE}, resnet_20", 1, 1)):
        model = config.Model(name=name)
        plain = stack_step(copies, model=model)
        line = stack_step(copies, model=model, method="subspace", options=options)
        pairs = [(seconds_a_step(plain, steps), seconds_a_step(line, steps)) for _ in range(LINE_ROUNDS + 1)]
        found[key] = round(median(of_line / of_plain for of_plain, of_line in pairs[1:]), 2)
    return found


def measure_pipeline() -> dict[str, float]:
    """Part (c): a `dvc repro` that has nothing to do, here and in a small pipeline, and a stage's start-up."""
    stages, seconds = idle(Path.cwd())
    with tempfile.TemporaryDirectory() as folder:
        clone = torture.Clone(Path.cwd(), Path(folder) / "small", SMALL)
        if clone.run():
            raise AssayError(f"the small pipeline did not end; {clone.log} says why")
        few_stages, few_seconds = idle(clone.folder, clone.environment)
    return {
        "stages": stages,
        "seconds of an idle dvc repro": round(seconds, 2),
        "stages of a baseline and one arm": few_stages,
        "seconds of their idle dvc repro": round(few_seconds, 2),
        "seconds before a stage's first step": round(median(start_up() for _ in range(REPEATS)), 2),
    }


def idle(root: Path, environment: Mapping[str, str] = os.environ) -> tuple[int, float]:
    """The number of stages, and the median seconds of a `dvc repro` that runs none of them.

    Raises:
        AssayError: the pipeline is not up to date.
    """
    seconds, stages = [], 0
    for _ in range(REPEATS):
        start = time.perf_counter()
        done = subprocess.run(["dvc", "repro"], cwd=root, env=environment, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - start)
        stages = done.stdout.count("didn't change, skipping")
        if done.returncode:
            raise AssayError(f"dvc repro ended with exit code {done.returncode}: {done.stderr.strip()}")
        if "Running stage" in done.stdout:
            raise AssayError("dvc repro had something to do; run `make repro` first, then `make bench`")
    return stages, median(seconds)


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
        return float(files.read_json(place / "metrics/timings/baseline.json")["start_up_seconds"])


def show(results: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(highlight=False)
    found = results["engine"]
    table = Table("", "ms a step and copy", "× plain", "of the ceiling", title="LeNet-300-100, batch 60, MNIST")
    for name, row in found["contenders"].items():
        keys = ("times faster than plain", "share of the ceiling")
        figures = ["{} ({} to {})".format(row[key], *row[f"{key}, by process"]) for key in keys]
        table.add_row(name, f"{row['milliseconds a step and copy']:.3f}", *figures)
    console.print(table)
    console.print(f"In brackets: from process to process, {found['processes']} of them.")
    console.print(f"Ceiling: {found['matrix product, GFLOP/s']} GFLOP/s in a large matrix product.")
    for name, value in (results["methods"] | results["pipeline"]).items():
        console.print(f"{name}: {value}")


def check_parameters(params: config.Params) -> None:
    """Our networks train as the plain loop's, or a ratio would say nothing.

    Raises:
        AssayError: a parameter is another; the line names it.
    """
    for key, value, needed in (
        ("data.name", params.data.name, "mnist"),
        ("model.name", params.model.name, "lenet_300_100"),
        ("train.batch_size", params.train.batch_size, BATCH),
    ):
        if value != needed:
            raise AssayError(f"{config.PARAMS_FILE}: {key}: {value}; make bench compares with a plain loop at {needed}")


def main() -> None:
    """Measure, print, and write `benchmarks/results.json`, or for another device `results-<device>.json`."""
    device = runtime.set_up()
    if not PREPARED.exists():
        raise AssayError(f"{PREPARED}: not found; run `make repro` first, then `make bench`")
    check_parameters(config.load())
    name = torch.cuda.get_device_name() if device.type == "cuda" else runtime.processor()
    results = {
        "machine": {"processor": name, "device": device.type, "threads": runtime.threads()},
        "pipeline": measure_pipeline(),  # first: it says if there is nothing yet to measure
        "engine": measure_engine(),
        "methods": measure_line() | {f"trajectory, {name}": value for name, value in sampler.measure().items()},
    }
    show(results)
    place = RESULTS if device.type == "cpu" else RESULTS.with_stem(f"{RESULTS.stem}-{device.type}")
    files.write_json(place, results)


if __name__ == "__main__":
    with one_line_errors():
        main()
