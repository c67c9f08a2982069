"""Scratch: whole or absent, tied to everything that decides the result, gone when the stage is done."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch

from assay.foundation.errors import AssayError
from assay.training import checkpoint
from assay.training.checkpoint import Scratch

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


def test_other_inputs_other_code_other_threads_start_anew(tmp_path, monkeypatch):
    def folder(inputs):
        return Scratch("train@line", inputs, CPU, tmp_path).folder

    first = folder({"a": 1})
    assert folder({"a": 1}) == first
    assert folder({"a": 2}) != first
    monkeypatch.setattr(checkpoint, "source_digest", lambda: "other code")
    assert folder({"a": 1}) != first


def test_scratch_of_the_same_stage_with_other_inputs_is_cleared(tmp_path):
    for inputs in ({"a": 1}, {"a": 2}):
        scratch = killed("baseline", inputs, tmp_path, {"done": 1})
    assert [path.name for path in tmp_path.iterdir()] == [scratch.folder.name]


def test_a_failed_save_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    scratch = Scratch("baseline", {}, CPU, tmp_path)
    scratch.folder.mkdir()
    scratch.save({"done": 1})

    def fail(state, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        scratch.save({"done": 2})
    assert scratch.load() == {"done": 1}
    assert [path.name for path in scratch.folder.iterdir()] == [checkpoint.STATE]


def test_the_interval_is_a_number(monkeypatch):
    monkeypatch.setenv("ASSAY_CHECKPOINT_SECONDS", "often")
    with pytest.raises(AssayError, match="ASSAY_CHECKPOINT_SECONDS=often"):
        Scratch("baseline", {}, CPU)
