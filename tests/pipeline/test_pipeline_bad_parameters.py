"""Parameters turned wrong stop every command that would train, before anything runs and with nothing written."""

from __future__ import annotations

import pytest
from clone import PARAMS, Clone

from assay.cli.repro import check
from assay.core.errors import AssayError

WRONG = [
    ({"train": {**PARAMS["train"], "steps": -5}}, "train.steps: got -5"),
    ({"model": {"name": "mlp", "hiden": [3]}}, "model.hiden: unknown key"),
    ({"train": {**PARAMS["train"], "batch_size": 5000}}, "train.batch_size: 5000 is more than"),
    ({"trian": {}}, "trian: unknown key; did you mean train?"),
    ({"model": {"name": "conv_6"}, "data": {"name": "digits", "validation": 2000}}, "data.validation: got 2000"),
    ({"model": {"name": "vgg", "depth": 19}}, "model.name: vgg needs"),
    ({"arms": {"new": {"method": "sdg"}}}, "arms.new.method: unknown method 'sdg'; did you mean sgd?"),
    ({"arms": {"cyclic": {"method": "sgd", "batches": "no"}}}, "arms.cyclic.batches: got 'no'"),
]
STAGES = [  # `dvc repro` runs `register` first, which checks all arms; a stage that trains checks its own
    ("stages.baseline", WRONG[0]),
    ("stages.register", WRONG[1]),
    ("stages.register", WRONG[2]),
    ("stages.register", WRONG[6]),
    ("stages.train cyclic", WRONG[7]),
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone"))


def write(clone: Clone, change: dict) -> None:
    clone.write({**PARAMS, "claims": [], **change})


@pytest.mark.parametrize(("change", "line"), WRONG)
def test_bad_parameters_are_named(clone, monkeypatch, change, line):
    write(clone, change)
    monkeypatch.chdir(clone.folder)
    with pytest.raises(AssayError) as error:
        check()
    assert any(each.startswith("params.yaml: ") and line in each for each in str(error.value).splitlines())


@pytest.mark.parametrize(("command", "wrong"), STAGES)
def test_a_stage_stops_before_anything_runs(clone, command, wrong):
    change, line = wrong
    write(clone, change)
    done = clone.run("python", "-m", *command.split(), check=False)
    assert done.returncode == 2
    assert any("params.yaml: " in each and line in each for each in done.stderr.splitlines()), done.stderr
    assert "Traceback" not in done.stderr
    assert not any((clone.folder / folder).exists() for folder in ("models", "metrics", ".assay", "data/prepared"))


def test_checking_says_the_same_without_running_anything(clone):
    clone.write({**PARAMS, "model": {"name": "lenet"}})
    done = clone.run("assay", "check", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "model.name: unknown model 'lenet'; did you mean lenet_300_100?" in done.stderr
    clone.write(PARAMS)
    assert "5 runs, 10 networks" in clone.run("assay", "check").stdout
