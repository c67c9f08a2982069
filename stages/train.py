"""Train one arm, or a block of further seeds of it: `python -m stages.train <arm | arm-block>`."""

from __future__ import annotations

import argparse

from assay.core import config
from assay.core.config.blocks import split_block
from assay.core.errors import one_line_errors
from stages.training import train_and_write


def main(name: str) -> None:
    """Read parameters, train, write models/<name> and its curves."""
    settings = config.read("seeds", "model", "train", "arms")
    arm, block = split_block(name)
    run = settings.block(settings.arm(arm), block)
    # with noisy labels the best early stop is a control of its own, as the baseline's is; nothing is chosen by it
    train_and_write(run, eval_splits=("validation", "test") if run.label_noise else ("validation",))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a key of `arms` in params.yaml, or of `more` in seeds.yaml")
    with one_line_errors():
        main(parser.parse_args().name)
