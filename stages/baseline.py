"""Train the baseline, or a block of further seeds of it: `python -m stages.baseline [baseline-<block>]`."""

from __future__ import annotations

from assay.core.errors import start
from stages.train import main

if __name__ == "__main__":
    start(main)
