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
from typing import Any

import torch

from assay import models
from assay.core import config, files, runtime
from assay.core.errors import AssayError, one_line_errors
from assay.report.report import templates
from benchmarks import engine, torture
from benchmarks.engine import BATCH, PREPARED, seconds_a_step, stack_step

RESULTS = Path("benchmarks/results.json")
PROCESSES, LINE_ROUNDS, REPEATS = 5, 25, 3
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
    """Parts (a) and (b): milliseconds a step and copy, and the share of the matrix-product ceiling."""
    command = (sys.executable, "-m", "benchmarks.engine", "contenders")
    processes = [json.loads(output(*command)) for _ in range(PROCESSES)]
    operations = BATCH * models.operations("lenet_300_100", engine.GREY, {})[1]
    ceilings = [rate for found in processes for row in found.values() for rate in row["ceiling"]]
    return {
        "operations a step": operations,
        "matrix product, GFLOP/s": round(median(ceilings) / 1e9, 1),
        "processes": PROCESSES,
        "rounds": engine.ROUNDS,
        "contenders": engine.summarise(processes, operations),
    }


def measure_methods() -> dict[str, float]:
    """Parts (b') and (b''): a step of a line against one of the baseline, of the same network; trajectory sampling."""
    found = {}
    options = {"shape": "line", "beta": 1.0}
    for name, key, copies, steps in (("lenet_300_100", LINE, 5, 20), ("resnet_20", f"{LINE}, resnet_20", 1, 1)):
        model = config.Model(name=name)
        plain = stack_step(copies, model=model)
        line = stack_step(copies, model=model, method="subspace", options=options)
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


def check_parameters(params: config.Params) -> None:
    """Refuse, by name, what our networks do not train with as the plain loop does: a ratio would say nothing."""
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
