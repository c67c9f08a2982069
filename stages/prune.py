"""Train one pruning round: `python -m stages.prune <n>`."""

from __future__ import annotations

import argparse

from assay import config
from assay.config import BASELINE
from assay.foundation.errors import one_line_errors
from stages.training import train_and_write


def main(number: int) -> None:
    """Read parameters and the round before; prune, train, write models/round-<n> and its curves.

    Raises:
        AssayError: params.yaml is wrong, there is no such round, or the round before is missing or does not fit.
    """
    settings = config.read("seeds", "model", "train", "lottery")
    run = settings.round(number)
    ancestors = {BASELINE, run.options["after"]}
    train_and_write(f"prune@{number}", run, sorted(ancestors), watched=("validation", "test"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("round", type=int, help="a key of `lottery.rounds` in params.yaml")
    with one_line_errors():
        main(parser.parse_args().round)
