"""`make bench`: the engine against the loops that others write and the machine's ceiling; what the pipeline adds.

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

import numpy as np
import torch

from assay import models
from assay.core import config, files, runtime
from assay.core.errors import AssayError, one_line_errors
from assay.report.report import templates
from benchmarks import engine, torture
from benchmarks.engine import PREPARED, seconds_a_step
from benchmarks.rivals import CASES, COMMON, MEMORY, ROUNDS, data_of, precision_of, stack_step

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = Path("benchmarks/results.json")
PROCESSES, LINE_ROUNDS, REPEATS = 3, 25, 3
LINE = "line step against a baseline step"
SMALL = {key: torture.PARAMS[key] for key in ("seeds", "data", "train")}  # the baseline and one arm
SMALL |= {"model": {"name": "linear"}, "arms": {"cyclic": {"method": "sgd", "batches": "fixed"}}}


def output(*command: str, **place: Any) -> str:
    """What a command prints to standard output; an `AssayError` says that it failed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, **place)
    if done.returncode:
        raise AssayError(f"{' '.join(command)}: ended with exit code {done.returncode}; why stands above")
    return str(done.stdout)


def measure_engine() -> dict[str, Any]:
    """Parts (a) and (b): each network's contenders, and the share of the matrix-product ceiling."""
    command = (sys.executable, "-m", "benchmarks.rivals")
    processes = [json.loads(output(*command)) for _ in range(PROCESSES)]
    rows = [row for found in processes for of_network in found.values() for row in of_network.values()]
    ceilings = [rate for row in rows for rate in row["ceiling"]]
    networks = {}
    for name, case in CASES.items():
        operations = case.batch * models.operations(name, case.images, {})[1]
        networks[name] = {
            "batch": case.batch,
            "precision": precision_of(name, runtime.device()),
            "operations a step": operations,
            "contenders": summarise([found[name] for found in processes], case.batch, operations),
        }
    return {
        "matrix product, GFLOP/s": round(median(ceilings) / 1e9, 1),
        "processes": PROCESSES,
        "rounds": ROUNDS,
        "networks": networks,
    }


def summarise(processes: Sequence[dict[str, dict[str, list[float]]]], batch: int, operations: int) -> dict[str, Any]:
    """A row for each contender: medians over the rounds of all processes, and the range of the processes' medians.

    `operations` are those of a step of one network on a batch.
    """

    def of(name: str, key: str) -> Any:  # (process, round)
        return np.array([found[name][key] for found in processes])

    table = {}
    for name in processes[0]:
        seconds = of(name, "seconds")
        row: dict[str, Any] = {
            "milliseconds a step and copy": round(float(np.median(1e3 * seconds)), 3),
            "images a second": round(float(np.median(batch / seconds))),
        }
        for key, ratios, digits in (
            *((f"times as fast as the {rival}", of(rival, "seconds") / seconds, 2) for rival in (COMMON, MEMORY)),
            ("share of the ceiling", operations / seconds / of(name, "ceiling"), 3),
        ):
            own = np.median(ratios, axis=1)
            row[key] = round(float(np.median(ratios)), digits)
            row[f"{key}, by process"] = [round(float(end), digits) for end in (own.min(), own.max())]
        table[name] = row
    return table


def measure_methods() -> dict[str, float]:
    """Parts (b') and (b''): a step of a line against one of the baseline, of the same network; trajectory sampling."""
    found = {}
    options, device = {"shape": "line", "beta": 1.0}, runtime.set_up()
    for name, key, copies, steps in (("lenet_300_100", LINE, 5, 20), ("resnet_20", f"{LINE}, resnet_20", 1, 1)):
        data = data_of(CASES[name], device)
        plain = stack_step(name, copies, data)
        line = stack_step(name, copies, data, method="subspace", options=options)
        pairs = [(seconds_a_step(plain, steps), seconds_a_step(line, steps)) for _ in range(LINE_ROUNDS + 1)]
        found[key] = round(median(of_line / of_plain for of_plain, of_line in pairs[1:]), 2)
    return found | {f"trajectory, {name}": value for name, value in engine.sampler("trajectory").items()}


def measure_pipeline() -> dict[str, float]:
    """Part (c): a `dvc repro` that has nothing to do, here and in a small pipeline, and a stage's start-up."""
    stages, seconds = idle()
    with tempfile.TemporaryDirectory() as folder:
        clone = torture.Clone(Path(folder) / "small", SMALL)
        if clone.run():
            raise AssayError(f"the small pipeline did not end; {clone.log} says why")
        few_stages, few_seconds = idle(cwd=clone.folder, env=clone.environment)
    return {
        "stages": stages,
        "seconds of an idle dvc repro": round(seconds, 2),
        "stages of a baseline and one arm": few_stages,
        "seconds of their idle dvc repro": round(few_seconds, 2),
        "seconds before a stage's first step": round(median(start_up() for _ in range(REPEATS)), 2),
    }


def idle(**place: Any) -> tuple[int, float]:
    """The number of stages, and the median seconds of a `dvc repro`; it is an `AssayError` if that runs one of them."""
    seconds, said = [], ""
    for _ in range(REPEATS):
        start = time.perf_counter()
        said = output("dvc", "repro", **place)
        seconds.append(time.perf_counter() - start)
        if "Running stage" in said:
            raise AssayError("dvc repro had something to do; run `make repro` first, then `make bench`")
    return said.count("didn't change, skipping"), median(seconds)


def start_up() -> float:
    """Run the baseline stage for one step in a folder of its own; gives the seconds before that step."""
    kept = {"seeds", "data", "model", "train"}
    params = config.load().model_dump(mode="json", include=kept, exclude_unset=True)
    params["train"]["steps"] = 1  # too few for most arms, which this stage does not train
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        files.write_json(place / config.PARAMS_FILE, params)
        shutil.copytree(PREPARED, place / PREPARED)
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        output(sys.executable, "-m", "stages.baseline", cwd=place, env=environment)
        return float(files.read_json(place / "metrics/timings/baseline.json")["start_up_seconds"])


def main() -> None:
    """Measure, print, and write `benchmarks/results.json`, or for another device `results-<device>.json`."""
    device = runtime.set_up()
    if not PREPARED.exists():
        raise AssayError(f"{PREPARED}: not found; run `make repro` first, then `make bench`")
    name = torch.cuda.get_device_name() if device.type == "cuda" else runtime.processor()
    results: dict[str, Any] = {
        "machine": {"processor": name, "device": device.type, "threads": runtime.threads()},
        "pipeline": measure_pipeline(),  # first: it says if there is nothing yet to measure
        "engine": measure_engine(),
        "methods": measure_methods(),
    }
    print(templates().get_template("speed.md.j2").render(results))
    print(*(f"{what}: {value}" for what, value in results["methods"].items()), sep="\n")
    place = RESULTS if device.type == "cpu" else RESULTS.with_stem(f"{RESULTS.stem}-{device.type}")
    files.write_json(place, results)


if __name__ == "__main__":
    with one_line_errors():
        main()
