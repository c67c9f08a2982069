"""What git holds: sources, metrics and reports; data sets, predictions and models lie in DVC's cache."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MOST_BYTES = 1_000_000
BINARY = {".safetensors", ".pt", ".pt2", ".npz", ".npy", ".gz", ".db"}


@pytest.fixture
def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_no_data_and_no_model_is_tracked(tracked):
    assert not [path for path in tracked if path.suffix in BINARY]


def test_what_is_tracked_is_small(tracked):
    assert not [path for path in tracked if path.is_file() and path.stat().st_size > MOST_BYTES]
