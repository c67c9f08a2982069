"""Train the baseline: plain gradient training under the budget that every arm shares."""

from __future__ import annotations

from assay import config
from assay.foundation.errors import one_line_errors
from stages.training import train_and_write


def main() -> None:
    """Read parameters, train, write models/baseline and its curves."""
    settings = config.read("seeds", "model", "train")
    # the test curve is what the early stops of pruned networks are held against; nothing is chosen by it
    train_and_write("baseline", settings.baseline(), watched=("validation", "test"))


if __name__ == "__main__":
    with one_line_errors():
        main()
