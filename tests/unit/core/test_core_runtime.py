"""Device, threads and randomness, each decided in one place."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from assay.core import runtime
from assay.core.errors import AssayError, one_line_errors


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ASSAY_DEVICE", "gpu9", "ASSAY_DEVICE=gpu9: .*name a device"),
        ("ASSAY_THREADS", "0", "ASSAY_THREADS=0: give a whole number"),
        ("ASSAY_THREADS", "many", "ASSAY_THREADS=many: give a whole number"),
    ],
)
def test_bad_surroundings_are_named(monkeypatch, name, value, message):
    monkeypatch.setenv(name, value)
    with pytest.raises(AssayError, match=message):
        runtime.set_up()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ASSAY_DEVICE", "gpu", "ASSAY_DEVICE=gpu: .*name a device of this machine"),
        ("ASSAY_DEVICE", "cuda:97", "ASSAY_DEVICE=cuda:97: .*name a device of this machine"),
        ("ASSAY_DEVICE", "meta", "ASSAY_DEVICE=meta: .*name a device of this machine"),
        ("ASSAY_DEVICE", "mps", "ASSAY_DEVICE=mps: .*name a device of this machine"),
        ("ASSAY_THREADS", "²", "ASSAY_THREADS=²: give a whole number of threads, from 1 to 4096"),
        ("ASSAY_THREADS", "9" * 5000, "ASSAY_THREADS=9*: give a whole number of threads"),
        ("ASSAY_JOBS", "-1", "ASSAY_JOBS=-1: give a whole number of jobs"),
        ("ASSAY_CHECKPOINT_SECONDS", "nan", "ASSAY_CHECKPOINT_SECONDS=nan: give a number of seconds"),
        ("ASSAY_CHECKPOINT_SECONDS", "-1", "ASSAY_CHECKPOINT_SECONDS=-1: give a number of seconds"),
        ("ASSAY_CHECKPOINT_SECONDS", "soon", "ASSAY_CHECKPOINT_SECONDS=soon: give a number of seconds"),
        (
            "ASSAY_IMAGE_MEMORY",
            "half",
            "ASSAY_IMAGE_MEMORY=half: give a share of the device's free memory, from 0 to 1",
        ),
        (
            "ASSAY_IMAGE_MEMORY",
            "-0.1",
            "ASSAY_IMAGE_MEMORY=-0.1: give a share of the device's free memory, from 0 to 1",
        ),
        ("ASSAY_IMAGE_MEMORY", "1.5", "ASSAY_IMAGE_MEMORY=1.5: give a share of the device's free memory, from 0 to 1"),
        ("ASSAY_IMAGE_MEMORY", "nan", "ASSAY_IMAGE_MEMORY=nan: give a share of the device's free memory, from 0 to 1"),
        ("ASSAY_IMAGE_MEMORY", "50%", "ASSAY_IMAGE_MEMORY=50%: give a share of the device's free memory, from 0 to 1"),
    ],
)
def test_bad_surroundings_are_found_before_anything_runs(monkeypatch, name, value, message):
    monkeypatch.setenv(name, value)
    with pytest.raises(AssayError, match=rf"^{message}.*$"):
        runtime.check()


def test_good_surroundings_pass_and_all_bad_ones_are_named(monkeypatch):
    for name, value in {"DEVICE": "cpu", "THREADS": "2", "JOBS": "1", "CHECKPOINT_SECONDS": "0.5"}.items():
        monkeypatch.setenv(f"ASSAY_{name}", value)
    runtime.check()
    assert runtime.checkpoint_seconds() == 0.5
    for name in ("DEVICE", "THREADS", "JOBS", "CHECKPOINT_SECONDS"):
        monkeypatch.setenv(f"ASSAY_{name}", "")
    runtime.check()
    assert runtime.checkpoint_seconds() == 30
    monkeypatch.setenv("ASSAY_JOBS", "none")
    monkeypatch.setenv("ASSAY_DEVICE", "gpu")
    with pytest.raises(AssayError, match=r"(?s)^ASSAY_JOBS=none: .*\nASSAY_DEVICE=gpu: "):
        runtime.check()


def test_set_up_fixes_threads_and_asks_for_determinism(monkeypatch):
    monkeypatch.setenv("ASSAY_DEVICE", "cpu")
    monkeypatch.setenv("ASSAY_THREADS", "1")
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = True
    assert runtime.set_up() == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.allow_tf32


def test_the_processor_has_a_name_also_where_the_system_lists_none(monkeypatch):
    named = runtime.processor()
    assert named
    monkeypatch.setattr(runtime.Path, "is_file", lambda path: False)
    assert runtime.processor()
    monkeypatch.setattr(runtime.platform, "processor", lambda: "")
    monkeypatch.setattr(runtime.platform, "machine", lambda: "aarch64")
    assert runtime.processor() == "aarch64"


def test_keys_depend_on_each_argument_and_never_change():
    assert runtime.key(0, "batches", 3) == 1998120767038241193
    others = {runtime.key(1, "batches", 3), runtime.key(0, "layers", 3), runtime.key(0, "batches", 4)}
    assert len(others | {runtime.key(0, "batches", 3)}) == 4
    first, again = (torch.randperm(50, generator=runtime.generator(2, "batches")) for _ in range(2))
    assert torch.equal(first, again)


def test_a_users_mistake_is_one_line_and_exit_code_2(capsys):
    with pytest.raises(SystemExit) as raised, one_line_errors():
        raise AssayError("params.yaml: seeds: got 3")
    assert raised.value.code == 2
    assert capsys.readouterr().err == "error: params.yaml: seeds: got 3\n"


def test_our_own_mistakes_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), one_line_errors():
        _ = 1 / 0


def raise_out_of_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 79.11 GiB of which ...")


def raise_what_it_leads_to():
    try:
        raise_out_of_memory()
    finally:
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


@pytest.mark.parametrize("fail", [raise_out_of_memory, raise_what_it_leads_to])
def test_a_full_gpu_is_one_line(fail, capsys):
    with pytest.raises(SystemExit) as raised, one_line_errors():
        fail()
    assert raised.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: CUDA out of memory. Tried to allocate 2.00 GiB; train fewer seeds, ")
    assert said.count("\n") == 1


def test_another_error_of_pytorchs_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="size of tensor"), one_line_errors():
        torch.zeros(2) + torch.zeros(3)


def test_who_ends_a_command_is_told_in_one_line_that_nothing_is_lost(capsys):
    with pytest.raises((SystemExit, KeyboardInterrupt)) as raised, one_line_errors():
        raise KeyboardInterrupt
    assert repr(raised.value) == "SystemExit(130)"
    assert capsys.readouterr().err == "interrupted: what is done is kept; run it again to go on\n"


@pytest.mark.parametrize("module", ["assay.core.config", "assay.cli.repro"])
def test_what_trains_nothing_starts_without_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
