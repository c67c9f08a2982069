"""Bring here what `compare` and `track` read of stages that stand: models and predictions."""

from __future__ import annotations

from pathlib import Path

from assay.errors import one_line_errors
from assay.pipeline import dvc

if __name__ == "__main__":
    with one_line_errors():
        dvc.fill(Path.cwd())
