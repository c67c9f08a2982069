"""`python -m benchmarks.trajectory_tuning`: what was tried for trajectory sampling, at an equal number of samples.

Every configuration changes a start in the few keys that its line names, and runs one seed for about the same number
of forward samples, so figures do not depend on how busy the machine is. σ is steered, so the samples that a move
takes are not known beforehand: they are taken to be `SAMPLES_A_MOVE` pilots. One seed a line: small differences mean
nothing. Accuracies are of the validation set, by which the arm was chosen. The results go to
docs/results/trajectory-tuning.json, one line of the table a configuration; lines that are there are not run again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from assay import methods
from assay.core import config, files, runtime
from assay.core.errors import one_line_errors
from assay.data.sets import prepared
from assay.engine.context import TrainContext
from assay.engine.stack import predict
from assay.methods.trajectory import TrajectoryUpdate
from assay.models.artifact import combine
from benchmarks.engine import PREPARED

RESULTS = Path("docs/results/trajectory-tuning.json")
SAMPLES = 5_000_000
SAMPLES_A_MOVE = 15  # in pilots, as seen
MODEL = {"name": "mlp", "hidden": [32], "pool": 4}
BASE: dict[str, Any] = {"tau": 32, "sigma": 0.02, "s_start": 25.0, "s": 200.0, "steer": True, "block": 64}
BASE |= {"burn_in": 0.85, "centre": True, "layer_scale": {"output": 0.5}}
TRIED: dict[str, dict[str, Any]] = {
    "as a start": {},
    "inputs not centred": {"centre": False},
    "all layers one step": {"layer_scale": {}},
    "output layer moves 4 times as far": {"layer_scale": {"output": 4.0}},
    "output layer moves a quarter": {"layer_scale": {"output": 0.25}},
    "s rises from half as much": {"s_start": 12.5},
    "s ends at half as much": {"s": 100.0},
    "s ends at twice as much": {"s": 400.0},
    "pilots of 128": {"block": 128},
    "pilots of 32": {"block": 32},
    "pCN, beta 0.5": {"beta": 0.5},
    "a quarter of the coordinates a move": {"fraction": 0.25, "sigma": 0.04},
    "images of 14×14": {"model": {**MODEL, "pool": 2}},
    "16 hidden units": {"model": {**MODEL, "hidden": [16]}},
    "tau 8, s·tau as at the start": {"tau": 8, "s_start": 100.0, "s": 800.0, "sigma": 0.01},
    "tau 1, s·tau as at the start": {"tau": 1, "s_start": 800.0, "s": 6400.0, "sigma": 0.005},
}


def run_one(changes: dict[str, Any]) -> dict[str, Any]:
    """Run a configuration until its forward samples are spent; gives its figures."""
    options = {**BASE, **{key: value for key, value in changes.items() if key != "model"}}
    sweeps = round(SAMPLES / (SAMPLES_A_MOVE * options["block"] * options["tau"]))
    train = config.load().train.model_copy(update={"steps": sweeps})
    model = config.Model(**changes.get("model", MODEL))
    run = config.Run(arm="tried", method="trajectory", seeds=(0,), model=model, train=train, options=options)
    data = prepared.load(PREPARED, runtime.set_up(), ("train", "validation"))
    update = methods.make_update(TrainContext(run, data))
    assert isinstance(update, TrajectoryUpdate)
    for step in range(sweeps):
        update.step(step)
    record, split = update.record(), data.validation
    members = {name: tensor[0] for name, tensor in update.variants()["ensemble"].weights.items()}
    logits = predict(update.network, members, split.images, data.mean, data.std)
    answers = {"members": logits.argmax(-1), "ensemble": combine(logits, "mean_probability").argmax(-1)}
    return {
        "forward_samples": record["forward_samples"][0],
        "batch_a_test": record["batch_a_test"][0],
        "acceptance": record["acceptance"][0],
        "sigma": record["series"]["sigma"][-1][0],
        "mean_loss": record["mean_loss"][0],
        **{name: round((own == split.labels).double().mean().item(), 4) for name, own in answers.items()},
    }


if __name__ == "__main__":
    with one_line_errors():
        fresh: dict[str, Any] = {"samples": SAMPLES, "start": BASE, "tried": {}}
        results, asked = files.read_json(RESULTS) if RESULTS.exists() else fresh, sys.argv[1:]
        for name, changes in TRIED.items():
            if name in asked or (not asked and name not in results["tried"]):
                results["tried"][name] = {"changes": changes, **run_one(changes)}
                files.write_json(RESULTS, results)
                print(name, json.dumps(results["tried"][name], ensure_ascii=False), flush=True)
