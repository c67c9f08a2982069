"""`python -m benchmarks.trajectory_tuning`: what was tried for trajectory sampling, at an equal number of samples.

Every configuration changes the arm `trajectory` of params.yaml in the few keys that its line names, and runs one seed
for the same number of forward samples, so figures do not depend on how busy the machine is. One seed a line: small
differences mean nothing. Accuracies are of the validation set, by which the arm was chosen. The results go to
docs/results/trajectory-tuning.json, one line of the table a configuration; lines that are there are not run again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay import config, methods
from assay.data.sets import prepared
from assay.foundation import files, runtime
from assay.foundation.errors import one_line_errors
from assay.models.combine import combine
from assay.training.sampling.chain import TrajectoryUpdate
from assay.training.stack import predict
from assay.training.task import Task

if TYPE_CHECKING:
    from torch import Tensor

RESULTS = Path("docs/results/trajectory-tuning.json")
PREPARED = Path("data/prepared")
SAMPLES = 15_000_000
POOLED = {"name": "mlp", "hidden": [32], "pool": 4}
BASE: dict[str, Any] = {"tau": 32, "sigma": 0.01, "s_start": 50.0, "s": 400.0, "target_batch": 400.0, "burn_in": 0.85}
BASE |= {"centre": True, "layer_scale": {"output": 0.5}}
TRIED: dict[str, dict[str, Any]] = {
    "as a start": {},
    "inputs not centred": {"centre": False},
    "all layers one step": {"layer_scale": {}},
    "output layer moves 4 times as far": {"layer_scale": {"output": 4.0}},
    "output layer moves a quarter": {"layer_scale": {"output": 0.25}},
    "s rises from half as much": {"s_start": 25.0},
    "s ends at half as much": {"s": 200.0},
    "s ends at twice as much": {"s": 800.0},
    "larger steps: four times the batch": {"target_batch": 1600.0},
    "smaller steps: half the batch, blocks of 64": {"target_batch": 200.0, "block": 64},
    "pCN, beta 0.5": {"beta": 0.5},
    "a quarter of the coordinates a move": {"fraction": 0.25, "sigma": 0.02},
    "images of 7×7": {"model": POOLED},
    "images of 7×7, output layer a quarter": {"model": POOLED, "layer_scale": {"output": 0.25}},
    "tau 8, s·tau as at the start": {"tau": 8, "s_start": 200.0, "s": 1600.0, "sigma": 0.004},
    "tau 1, s·tau as at the start": {"tau": 1, "s_start": 1600.0, "s": 12800.0, "sigma": 0.001},
}


def run_one(changes: dict[str, Any], data: prepared.Prepared, samples: int) -> dict[str, Any]:
    """Run a configuration until its forward samples are spent; gives its figures."""
    options = {**BASE, **{key: value for key, value in changes.items() if key != "model"}}
    model = changes.get("model", {"name": "mlp", "hidden": [32], "pool": 2})
    sweeps = round(samples / (2 * options["target_batch"] * options["tau"]))
    settings = config.read("train")
    run = config.Run(
        arm="tried",
        method="trajectory",
        seeds=(0,),
        model=config.Model(**model),
        train=settings.train.model_copy(update={"steps": sweeps}),
        options=options,
    )
    update = methods.make_update(Task(run, data))
    assert isinstance(update, TrajectoryUpdate)
    for step in range(sweeps):
        update.step(step)
    record, split = update.record(), data.validation
    members = {name: tensor[0] for name, tensor in update.variants()["ensemble"].weights.items()}
    logits = predict(update.network, members, split.images, data.mean, data.std)

    def accuracy(predicted: Tensor) -> float:
        return round((predicted == split.labels).double().mean().item(), 4)

    return {
        "forward_samples": record["forward_samples"][0],
        "batch_a_test": record["batch_a_test"][0],
        "acceptance": record["acceptance"][0],
        "sigma": record["series"]["sigma"][-1][0],
        "mean_loss": record["mean_loss"][0],
        "members": accuracy(logits.argmax(-1)),
        "ensemble": accuracy(combine(logits, "mean_probability").argmax(-1)),
    }


def main(names: list[str]) -> None:
    """Run what was not run yet (or what is named), and write after each."""
    device = runtime.set_up()
    data = prepared.load(PREPARED, device, ("train", "validation"))
    results: dict[str, Any] = {"samples": SAMPLES, "start": BASE, "tried": {}}
    if RESULTS.exists():
        results = files.read_json(RESULTS)
    for name, changes in TRIED.items():
        if name in names or (not names and name not in results["tried"]):
            results["tried"][name] = {"changes": changes, **run_one(changes, data, SAMPLES)}
            files.write_json(RESULTS, results)
            print(name, json.dumps(results["tried"][name], ensure_ascii=False), flush=True)


if __name__ == "__main__":
    with one_line_errors():
        main(sys.argv[1:])
