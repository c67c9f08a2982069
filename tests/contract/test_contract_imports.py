"""What a training leaves unimported: PyTorch's compiler, which would cost every stage more than a second."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAINING = """
import sys
from pathlib import Path
from assay import methods, runtime
from assay.config import {optimizer} as Kind, Model, Run, Train
from assay.training.checkpoint import Scratch
from tests.conftest import make_data

optimizer = Kind(name="{optimizer}".lower(), lr=0.01)
budget = Train(steps=2, batch_size=8, optimizer=optimizer, evaluate_every=1)
model = Model(name="linear")
run = Run(arm="probe", seeds=(0, 1), model=model, train=budget, method="{method}", options={options})
with Scratch("probe", {{}}, runtime.set_up(), Path(sys.argv[1])) as scratch:
    methods.train(run, make_data(), scratch)
assert "torch._dynamo" not in sys.modules
"""


@pytest.mark.parametrize(
    ("optimizer", "method", "options"),
    [("Adam", "sgd", {}), ("SGD", "subspace", {"shape": "line", "beta": 1.0})],
    ids=["adam", "line with sgd"],
)
def test_a_training_never_imports_the_compiler(tmp_path, optimizer, method, options):
    code = TRAINING.format(optimizer=optimizer, method=method, options=options)
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
