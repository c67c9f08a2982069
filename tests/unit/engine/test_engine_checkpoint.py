"""Scratch: whole or absent, tied to everything that decides the result, gone when the stage is done."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from assay import methods
from assay.core.errors import AssayError
from assay.engine import checkpoint
from assay.engine.checkpoint import Scratch, source_digest

CPU = torch.device("cpu")


def killed(stage, inputs, root, state) -> Scratch:
    """The scratch that a stage leaves which died after its first checkpoint."""
    scratch = Scratch(stage, inputs, CPU, root)
    with suppress(RuntimeError), scratch:
        assert scratch.load() is None
        scratch.save(state)
        raise RuntimeError("killed")
    return scratch


def test_a_checkpoint_comes_back_as_it_was_and_goes_when_the_stage_is_done(tmp_path):
    state = {"done": 3, "weights": {"a": torch.arange(3)}, "rows": [["arm", 0, 0.5]]}
    killed("train@line", {"a": 1}, tmp_path, state)
    with Scratch("train@line", {"a": 1}, CPU, tmp_path) as scratch:
        loaded = scratch.load()
        assert loaded["done"] == 3
        assert loaded["rows"] == [["arm", 0, 0.5]]
        assert torch.equal(loaded["weights"]["a"], torch.arange(3))
    assert not any(tmp_path.iterdir())


def test_other_inputs_and_other_threads_start_anew(tmp_path):
    def folder(inputs):
        return Scratch("train@line", inputs, CPU, tmp_path).folder

    first = folder({"a": 1})
    assert folder({"a": 1}) == first
    assert folder({"a": 2}) != first
    torch.set_num_threads(2)
    assert folder({"a": 1}) != first


@pytest.mark.parametrize(
    ("file", "matters"),
    [
        ("report/figures/claims.py", False),
        ("tracking/content.py", False),
        ("analysis/claims.py", False),
        ("methods/subset/__init__.py", False),  # of another method
        ("methods/subspace/__init__.py", True),
        ("methods/__init__.py", True),
        ("engine/loop.py", True),
        ("engine/stack/layers.py", True),
        ("models/__init__.py", True),
        ("models/artifact.py", True),
        ("models/sparse.py", False),  # which only pruning imports
        ("models/nets/__init__.py", True),
        ("models/fitting.py", True),
        ("models/nets/mlp.py", False),  # a network's own digest is beside this one
    ],
)
def test_other_code_starts_anew_where_the_training_imports_it(tmp_path, file, matters):
    source = tmp_path / "assay"
    shutil.copytree(Path(checkpoint.assay.__file__).parent, source)
    before = source_digest("subspace", source)
    with (source / file).open("a") as stream:
        stream.write("\n")
    assert (source_digest("subspace", source) != before) == matters


def test_scratch_of_the_same_stage_with_other_inputs_is_cleared(tmp_path):
    for inputs in ({"a": 1}, {"a": 2}):
        scratch = killed("baseline", inputs, tmp_path, {"done": 1})
    assert [path.name for path in tmp_path.iterdir()] == [scratch.folder.name]


def test_a_failed_save_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    scratch = Scratch("baseline", {}, CPU, tmp_path)
    scratch.folder.mkdir()
    scratch.save({"done": 1})

    def fail(*_):
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="the disk is broken") as error:
        scratch.save({"done": 2})
    assert error.value.filename == str(scratch.folder / checkpoint.STATE)
    assert scratch.load() == {"done": 1}
    assert [path.name for path in scratch.folder.iterdir()] == [checkpoint.STATE]


def test_the_interval_is_a_number(monkeypatch):
    monkeypatch.setenv("ASSAY_CHECKPOINT_SECONDS", "often")
    with pytest.raises(AssayError, match="ASSAY_CHECKPOINT_SECONDS=often"):
        Scratch("baseline", {}, CPU)


def zeroed(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(600) + content[middle + 600 :]


def signed(content: bytes) -> bytes:
    return content + hashlib.sha256(content).digest()


DAMAGE = {
    "zeroed": zeroed,
    "truncated": lambda content: content[:-600],
    "empty": lambda _: b"",
    "shorter than a digest": lambda _: b"PK",
    "no pickle": lambda _: signed(b"not a pickle"),
    "half a pickle": lambda content: signed(content[:-632]),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_is_dropped_in_a_line(tmp_path, capsys, how):
    path = killed("train@line", {}, tmp_path, {"weights": torch.arange(1000)}).folder / checkpoint.STATE
    path.write_bytes(DAMAGE[how](path.read_bytes()))
    with Scratch("train@line", {}, CPU, tmp_path) as scratch:
        assert scratch.load() is None
        assert not path.exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{path}: ")
    assert line.endswith("; the checkpoint is dropped and train@line starts over")


@pytest.mark.parametrize("state", [{}, {"update": {}}, [1], "partly"])
def test_after_a_checkpoint_of_something_else_the_training_is_as_if_there_was_none(
    tmp_path, data, make_run, capsys, monkeypatch, state
):
    def train(folder):
        with Scratch("probe", {}, CPU, tmp_path / folder) as scratch:
            return methods.resolve(make_run()).train(data, scratch)[0]

    whole = train("whole")
    if state == "partly":  # what can be restored is, and the rest is missing
        monkeypatch.setenv("ASSAY_CHECKPOINT_SECONDS", "0")
        kept: list = []
        with monkeypatch.context() as patch:
            patch.setattr(Scratch, "save", lambda _, state: kept.append(state))
            train("kept")
        state = {**kept[0], "curves": {}}
        monkeypatch.delenv("ASSAY_CHECKPOINT_SECONDS")
    killed("probe", {}, tmp_path / "other", state)
    again = train("other")
    assert "the checkpoint is dropped and probe starts over" in capsys.readouterr().err
    for name, tensor in whole.weights["last"].items():
        assert torch.equal(again.weights["last"][name], tensor)
    assert again.manifest == whole.manifest
