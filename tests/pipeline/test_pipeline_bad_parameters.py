"""Parameters turned wrong stop every command that would train, before anything runs and with nothing written."""

from __future__ import annotations

import sys

import pytest
from clone import PARAMS, Clone


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"train": {**PARAMS["train"], "steps": -5}}, "train.steps: got -5"),
        ({"trian": {}}, "trian: unknown key; did you mean train?"),
        ({"model": {"name": "conv_6"}, "data": {"name": "digits", "validation": 2000}}, "data.validation: got 2000"),
        ({"model": {"name": "vgg", "depth": 19}}, "model.name: vgg needs"),
        ({"model": {"name": "mlp", "hiden": [3]}}, "model.hiden: unknown key"),
        ({"arms": {"new": {"method": "sdg"}}}, "arms.new.method: unknown method 'sdg'; did you mean sgd?"),
        ({"arms": {"cyclic": {"method": "sgd", "batches": "no"}}}, "arms.cyclic.batches: got 'no'"),
        ({"train": {**PARAMS["train"], "batch_size": 5000}}, "train.batch_size: 5000 is more than"),
    ],
)
def test_bad_parameters_stop_before_anything_runs(clone, change, line):
    clone.write({**PARAMS, "arms": {}, "claims": [], **change})
    done = clone.run(sys.executable, "-m", "stages.baseline", check=False)
    assert done.returncode == 2
    assert any("params.yaml: " in each and line in each for each in done.stderr.splitlines()), done.stderr
    assert "Traceback" not in done.stderr
    assert not any((clone.folder / folder).exists() for folder in ("models", "metrics", ".assay", "data/prepared"))


def test_checking_says_the_same_without_running_anything(clone):
    clone.write({**PARAMS, "model": {"name": "lenet"}})
    done = clone.run(sys.executable, "-m", "assay.check", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "model.name: unknown model 'lenet'; did you mean lenet_300_100?" in done.stderr
    clone.write(PARAMS)
    assert "5 runs, 10 networks" in clone.run(sys.executable, "-m", "assay.check").stdout
