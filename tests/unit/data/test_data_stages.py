from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from assay.core.errors import AssayError
from assay.data.sets import prepared
from stages import download, prepare

ROOT = Path(__file__).parents[3]
PARAMS = """\
seeds: [0, 1]
model: {name: linear}
train: {steps: 12, batch_size: 16, optimizer: {name: adam, lr: 0.01}, evaluate_every: 6}
arms: {cyclic: {method: sgd, batches: fixed}}
"""


@pytest.fixture
def params(tmp_path, monkeypatch):
    """Write params.yaml with another `data` section into the folder where stages then run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASSAY_DATA_DIR", raising=False)

    def write(section: str) -> None:
        (tmp_path / "params.yaml").write_text(f"data: {section}\n{PARAMS}")

    return write


def test_from_nothing_to_tensors(params, tmp_path):
    params("{name: digits, validation: 100}")
    download.main()
    prepare.main()
    data = prepared.load(tmp_path / "data/prepared", torch.device("cpu"))
    assert [len(split.labels) for split in (data.train, data.validation, data.test)] == [1337, 100, 360]


def test_prepare_wants_what_download_leaves(params, tmp_path):
    params("{name: digits, validation: 100}")
    with pytest.raises(AssayError, match="data/raw/train-images-idx3-ubyte: not there"):
        prepare.main()
    assert not (tmp_path / "data").exists()


def test_too_much_validation_is_refused_before_any_download(params, tmp_path):
    params("{name: cifar10, validation: 50000}")
    with pytest.raises(AssayError, match=r"data\.validation: got 50000"):
        download.main()
    assert not (tmp_path / "data").exists()


def test_the_command_says_one_line_and_ends_with_2(params, tmp_path):
    params("{name: digits, validation: -1}")
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "PATH": ""}
    command = [sys.executable, "-m", "stages.download"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: params.yaml: data.validation: got -1")
    assert len(done.stderr.splitlines()) == 1
