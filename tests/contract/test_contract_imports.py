"""What a training leaves unimported: PyTorch's compiler, which would cost every stage more than a second."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRAININGS = """
import sys
from pathlib import Path
from assay import methods
from assay.core import runtime
from assay.core.config import SGD, Adam, Model, Run, Train
from assay.engine.checkpoint import Scratch
from tests.conftest import make_data

device = runtime.set_up()
for optimizer, method, options in (
    (Adam(name="adam", lr=0.01), "sgd", {}),
    (SGD(name="sgd", lr=0.01), "subspace", {"shape": "line", "beta": 1.0}),
):
    budget = Train(steps=2, batch_size=8, optimizer=optimizer, evaluate_every=1)
    run = Run(arm="probe", seeds=(0, 1), model=Model(name="linear"), train=budget, method=method, options=options)
    with Scratch("probe", {}, device, Path(sys.argv[1])) as scratch:
        methods.resolve(run).train(make_data(), scratch)
    assert "torch._dynamo" not in sys.modules, (method, optimizer.name)
"""


def test_a_training_never_imports_the_compiler(tmp_path):
    """Plain training with Adam, then a line with SGD."""
    done = subprocess.run(
        [sys.executable, "-c", TRAININGS, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
