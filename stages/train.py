"""Train one arm: `python -m stages.train <arm>`."""

from __future__ import annotations

import argparse

from assay import config
from assay.foundation.errors import one_line_errors
from stages.training import train_and_write


def main(arm: str) -> None:
    """Read parameters, train, write models/<arm> and its curves."""
    settings = config.read("seeds", "model", "train", "arms")
    train_and_write(f"train@{arm}", settings.arm(arm))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arm", help="a key of `arms` in params.yaml")
    with one_line_errors():
        main(parser.parse_args().arm)
