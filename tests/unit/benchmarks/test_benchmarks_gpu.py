"""What runs on a lent GPU, tried on the CPU with a pipeline of seconds: it stops in time, goes on, and is archived."""

from __future__ import annotations

import importlib
import json
import subprocess
import time
from contextlib import chdir
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from assay.core.errors import AssayError
from assay.core.plain import read_json
from benchmarks import torture
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import profile
from benchmarks.rivals import CASES
from tests.conftest import CPU

ROOT = Path(__file__).parents[3]
PARAMS = json.dumps({**torture.PARAMS, "arms": {"hard": {"method": "hard_batches", "delta": 0.5}}})


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("ASSAY_DEVICE", "cpu")
    monkeypatch.setenv("ASSAY_THREADS", "1")


def test_the_pipeline_runs_without_dvc_goes_on_where_it_stopped_and_is_archived(tmp_path, monkeypatch, capsys):
    folder, forever = tmp_path / "out" / gpu.DEFAULT, time.monotonic() + 600
    with pytest.raises(gpu.OutOfTimeError):
        gpu.pipeline(folder, PARAMS, time.monotonic())
    ran = []

    def execute(module, where, _, last="stages.compare"):
        if module[0] == last:
            raise gpu.OutOfTimeError
        ran.append(module)
        with chdir(where):  # not in a process of its own, which takes seconds to start
            importlib.import_module(module[0]).main(*module[1:])

    monkeypatch.setattr(gpu, "execute", execute)
    with pytest.raises(gpu.OutOfTimeError):
        gpu.pipeline(folder, PARAMS, forever)
    assert [name for name, *_ in ran].count("stages.evaluate") == 4
    assert ("stages.prune", "2") in ran
    monkeypatch.setattr(gpu, "execute", partial(execute, last=""))
    ran.clear()
    gpu.pipeline(folder, PARAMS, forever)
    assert ran == [("stages.compare",)]  # what was there was done
    with pytest.raises(AssayError, match=r"params.yaml: holds other parameters"):
        gpu.pipeline(folder, PARAMS.replace("0.5", "0.4"), forever)

    root = tmp_path / "checkout"
    root.mkdir()
    monkeypatch.chdir(root)
    for command in (["init"], ["commit", "--allow-empty", "-m", "."]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *command, "-q"], check=True)
    gpu.archive_all(tmp_path / "out")
    assert "subspace_cifar10: not finished" in capsys.readouterr().out
    kept = root / "results" / gpu.NAME_OF_DEFAULT
    assert read_json(kept / "run.json", "", "")["data"] == "digits"
    assert {path.stem for path in (kept / "evaluate").iterdir()} >= {"baseline", "hard", "round-2"}
    (kept / "params.yaml").write_text("of another run")
    with pytest.raises(AssayError, match="holds another run"):
        gpu.archive_all(tmp_path / "out")
    gpu.archive_all(tmp_path / "out", force=True)
    assert (kept / "params.yaml").read_text() == PARAMS


def test_what_fails_is_told_and_the_rest_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(gpu.COMMANDS, "profile", ("benchmarks.nothing",))
    monkeypatch.setitem(gpu.COMMANDS, "rivals", ("json.tool", "--help"))
    with pytest.raises(AssayError, match=r"^failed: profile$"):
        gpu.run(tmp_path, 1, ["profile", "rivals"])
    assert "profile: benchmarks.nothing ended with exit code 1; log.txt there" in capsys.readouterr().err
    assert (tmp_path / "rivals/done").exists()
    assert not (tmp_path / "profile/done").exists()


@pytest.mark.parametrize("name", gpu.PRESETS)
def test_each_experiment_has_parameters_and_stages(name, tmp_path):
    (tmp_path / "params.yaml").write_text(gpu.parameters(name))
    params = gpu.config.load(tmp_path / "params.yaml")
    assert len(list(gpu.stages(params))) == 5 + 2 * len(list(params.runs()))


def test_a_profile_has_the_longest_kernels_first(monkeypatch):
    case = CASES["conv_2"]
    monkeypatch.setitem(CASES, "conv_2", replace(case, count=32, batch=4))
    found = profile.profiled("conv_2", "float32", CPU, 1)
    spent = [kernel["ms a step"] for kernel in found["kernels"]]
    assert spent == sorted(spent, reverse=True)
    assert sum(spent) > 0
    assert found["images a second"] > 0
