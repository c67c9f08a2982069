"""Tuning: the trainings of a grid, of which validation chooses one; every contender has the same grid, or none has one.

Dahl et al., "Benchmarking Neural Network Training Algorithms" (AlgoPerf, arXiv 2306.07179): contenders are comparable
only where each had the same tuning budget.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING, Any

from assay.core.config import BASELINE, LOTTERY, PARAMS_FILE
from assay.core.errors import AssayError
from assay.engine.curves import DivergedError
from assay.engine.loop import Trained

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.core.config import Run
    from assay.models.artifact import Artifact


def chosen_before(run: Run, parents: Mapping[str, Artifact]) -> dict[str, Any] | None:
    """What was chosen for this training before: by the arm's first seeds, or for a pruning round by the baseline."""
    before = parents.get(run.arm) or (parents.get(BASELINE) if run.method == LOTTERY else None)
    return before.manifest.record.get("tuning") if before else None


def with_lr(run: Run, lr: float) -> Run:
    """The run at another learning rate."""
    optimizer = run.train.optimizer.model_copy(update={"lr": lr})
    return run.model_copy(update={"train": run.train.model_copy(update={"optimizer": optimizer})})


def search(rates: Sequence[float], train: Callable[[float], tuple[Artifact, Trained]]) -> tuple[Artifact, Trained]:
    """Train at each rate; give the best, with the grid in its record and the cost of the others billed to it.

    The best has the highest validation accuracy of the arm's first variant, mean over seeds; of equals, the lower
    validation loss. A rate at which a seed diverges is out.

    Args:
        rates: the grid.
        train: a training at a rate.

    Raises:
        AssayError: nothing is held out, or every rate diverged.
    """
    grid: list[dict[str, Any]] = []
    done: list[tuple[tuple[float, float], float, Artifact, Trained]] = []
    for lr in rates:
        try:
            made, trained = train(lr)
        except DivergedError as error:
            grid.append({"lr": lr, "diverged": str(error)})
            continue
        first = next(iter(made.manifest.variants.values()))
        if not first.validation_accuracy:
            raise AssayError(f"{PARAMS_FILE}: train.tune: chosen on the validation set, and none is held out")
        done.append(((fmean(first.validation_accuracy), -fmean(first.validation_loss)), lr, made, trained))
        numbers = {"validation_accuracy": first.validation_accuracy, "validation_loss": first.validation_loss}
        grid.append({"lr": lr, **numbers})
    if not done:
        reason = f"every training diverged; give lower rates ({grid[0]['diverged']})"
        raise AssayError(f"{PARAMS_FILE}: train.tune.lr: {reason}")
    _, lr, winner, trained = max(done, key=lambda one: one[0])
    steps, seconds = sum(one.steps for *_, one in done), math.fsum(one.seconds for *_, one in done)
    spent = {
        name: sum(_samples(other, name) for _, rate, other, _ in done if rate != lr)
        + (len(grid) - len(done)) * _samples(winner, name)
        for name in winner.manifest.variants
    }
    return billed(winner, {"lr": lr, "samples": spent, "grid": grid}), Trained(trained.curves, steps, seconds)


def billed(trained: Artifact, tuning: dict[str, Any]) -> Artifact:
    """A trained arm whose manifest says how its rate was chosen, and what each variant's choice cost."""
    manifest, spent = trained.manifest, tuning["samples"]
    variants = {
        name: one.model_copy(update={"cost": one.cost.model_copy(update={"tuning_samples": spent[name]})})
        for name, one in manifest.variants.items()
    }
    update = {"variants": variants, "record": {**manifest.record, "tuning": tuning}}
    return trained.model_copy(update={"manifest": manifest.model_copy(update=update)})


def _samples(trained: Artifact, variant: str) -> int | float:
    cost = trained.manifest.variants[variant].cost
    return cost.train_samples + cost.forward_samples
