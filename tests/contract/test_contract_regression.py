"""Recorded losses: what a fixed training gave when it was written down, so that no change goes unseen.

A deliberate change of the engine's arithmetic or randomness changes these numbers: print them anew with
`python -m tests.contract.test_contract_regression`, and say in the commit why they moved.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from assay import methods
from assay.core.config import SGD, Adam, Cosine, Model, Run, Train
from assay.engine.checkpoint import Scratch
from tests.conftest import make_data

ADAM = Train(steps=30, batch_size=16, optimizer=Adam(name="adam", lr=0.01), evaluate_every=10)
COSINE = Train(
    steps=30,
    batch_size=16,
    optimizer=SGD(name="sgd", lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
    schedule=Cosine(name="cosine", warmup_steps=5),
    evaluate_every=10,
)
CASES = {
    "mlp": (Model(name="mlp", hidden=[16]), ADAM, {}),
    "mlp fixed": (Model(name="mlp", hidden=[16]), ADAM, {"batches": "fixed"}),
    "vgg cosine": (Model(name="vgg", widths=[[4], [8]], batch_norm=True), COSINE, {}),
}
RECORDED = {
    "mlp": [0.188188, 0.039102, 0.016723],
    "mlp fixed": [0.188959, 0.03632, 0.015633],
    "vgg cosine": [1.473025, 1.650378, 1.664007],
}


def validation_losses(name: str) -> list[float]:
    """The mean validation loss over two seeds at steps 10, 20 and 30."""
    model, train, options = CASES[name]
    run = Run(arm="probe", method="sgd", seeds=(0, 1), model=model, train=train, options=options)
    data = make_data(augment="crop_flip" if name == "vgg cosine" else "none")
    with TemporaryDirectory() as folder, Scratch("probe", name, torch.device("cpu"), Path(folder)) as scratch:
        _, trained = methods.resolve(run).train(data, scratch)
    rows = [row for row in trained.curves.rows if row[3] == "validation"]
    return [round(sum(row[4] for row in rows if row[2] == step) / 2, 6) for step in (10, 20, 30)]


@pytest.mark.parametrize("name", CASES)
def test_losses_are_those_recorded(name):
    assert validation_losses(name) == pytest.approx(RECORDED[name], rel=1e-3)


if __name__ == "__main__":
    for case in CASES:
        print(f'    "{case}": {validation_losses(case)},')
