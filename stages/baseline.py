"""Train the baseline, plain gradient training under the budget that every arm shares, or a block of further seeds."""

from __future__ import annotations

import argparse

from assay.core import config
from assay.core.config import BASELINE
from assay.core.config.blocks import split_block
from assay.core.errors import one_line_errors
from stages.training import train_and_write


def main(name: str) -> None:
    """Read parameters, train, write models/<name> and its curves."""
    settings = config.read("seeds", "model", "train")
    run = settings.block(settings.baseline(), split_block(name)[1])
    # the test curve is what the early stops of pruned networks are held against; nothing is chosen by it
    train_and_write(run, eval_splits=("validation", "test"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default=BASELINE, help="a key of `more_baseline` in seeds.yaml")
    with one_line_errors():
        main(parser.parse_args().name)
