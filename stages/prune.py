"""Train one pruning round, or a block of further seeds of it: `python -m stages.prune <n | n-block>`."""

from __future__ import annotations

import argparse

from assay.core import config
from assay.core.config import BASELINE
from assay.core.config.blocks import split_block
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError, one_line_errors
from stages.training import train_and_write


def main(key: str) -> None:
    """Read parameters and the round before; prune, train, write models/round-<key> and its curves.

    Raises:
        AssayError: params.yaml is wrong, there is no such round, or the round before is missing or does not fit.
    """
    settings = config.read("seeds", "model", "train", "lottery")
    name, block = split_block(f"round-{key}")
    if name not in settings.rounds:
        raise AssayError(f"params.yaml: lottery.rounds: no round {key!r}; {suggestion(name, settings.rounds)}")
    run = settings.block(settings.round(settings.rounds.index(name) + 1), block)
    train_and_write(run, sorted({BASELINE, run.options["after"]}), eval_splits=("validation", "test"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("round", help="a key of `lottery.rounds` in params.yaml, or of `more_rounds` in seeds.yaml")
    with one_line_errors():
        main(parser.parse_args().round)
