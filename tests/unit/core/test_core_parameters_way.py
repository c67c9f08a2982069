"""A parameter's way from params.yaml to the code that uses it: few functions, and a method's options parsed once."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from assay.methods.hard_batches import HardBatches
from stages import train
from tests.conftest import make_data

ROOT = Path(__file__).parents[3]
OURS = (f"{ROOT}/src/assay/", f"{ROOT}/stages/")
PARAMS = """\
seeds: [0, 1]
data: {name: digits, validation: 32}
model: {name: mlp, hidden: [8]}
train: {steps: 12, batch_size: 16, optimizer: {name: adam, lr: 0.01}, evaluate_every: 6}
arms:
  hard_batches: {method: hard_batches, delta: 0.25}
  swa: {method: swa, start: 0.5, cycle_steps: 2}
  trajectory: {method: trajectory, tau: 2, s: 50.0, test: full}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_DEVICE", "cpu")
    monkeypatch.setenv("ASSAY_THREADS", "1")
    monkeypatch.setattr(train.prepared, "load", lambda *_: make_data())
    return tmp_path


def test_delta_reaches_hard_batches_in_six_functions(folder, monkeypatch):
    ways, make = [], HardBatches.__init__

    def spy(self, labels, seeds, batch_size, delta, selection):
        names = [frame.function for frame in inspect.stack()[1:] if frame.filename.startswith(OURS)]
        ways.append([delta, *names[: names.index("main") + 1]])
        make(self, labels, seeds, batch_size, delta, selection)

    monkeypatch.setattr(HardBatches, "__init__", spy)
    train.main("hard_batches")
    (way,) = ways
    assert way[0] == 0.25
    assert len(way) <= 6, way  # those that call it, and HardBatches itself


@pytest.mark.parametrize("method", ["hard_batches", "swa", "trajectory"])
def test_options_are_parsed_once_a_process(folder, monkeypatch, method):
    kind = importlib.import_module(f"assay.methods.{method}").Options
    parsed, validate = [], kind.model_validate
    monkeypatch.setattr(kind, "model_validate", lambda content: parsed.append(content) or validate(content))
    train.main(method)
    assert len(parsed) == 1
    assert (folder / f"models/{method}/manifest.json").is_file()
