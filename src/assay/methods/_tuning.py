"""Tuning: the trainings of a grid, of which validation chooses one; every contender has the same grid, or none has one.

Dahl et al., "Benchmarking Neural Network Training Algorithms" (AlgoPerf, arXiv 2306.07179): contenders are comparable
only where each had the same tuning budget.
"""

from __future__ import annotations

import importlib
import math
from statistics import fmean
from typing import TYPE_CHECKING, Any

from assay.core.config import BASELINE, LOTTERY, PARAMS_FILE
from assay.core.errors import AssayError
from assay.engine.curves import DivergedError
from assay.engine.loop import Trained

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.core.config import Params, Run
    from assay.models.artifact import Artifact


def is_tuned(run: Run) -> bool:
    """Whether a training has a grid; one that takes no gradient step has no learning rate to choose."""
    return run.train.tune is not None and _takes_gradients(run)


def check(params: Params) -> None:
    """Refuse grids that differ between contenders, that stand where no rate is used, or that nothing can choose from.

    Pruning rounds have no grid of their own: they train at the rate that the baseline chose.

    Raises:
        AssayError: the line names the key.
    """
    runs = [run for run in params.runs() if run.method != LOTTERY]
    for run in runs:
        if not _takes_gradients(run) and "tune" in params.arms[run.arm].overrides():
            raise AssayError(f"{PARAMS_FILE}: arms.{run.arm}.tune: {run.method} takes no gradient step; remove it")
    baseline, *others = (run for run in runs if _takes_gradients(run))
    for run in others:
        if run.train.tune != baseline.train.tune:
            own, shared = (_said(each) for each in (run, baseline))
            raise AssayError(
                f"{PARAMS_FILE}: arms.{run.arm}.tune: {run.arm} has {own}, {BASELINE} has {shared}; all arms that "
                "train by gradients must have the same grid: give it once, under train.tune"
            )
    if is_tuned(baseline) and not params.data.validation and params.data.name != "folder":
        raise AssayError(f"{PARAMS_FILE}: train.tune: chosen on the validation set, and data.validation is 0; raise it")


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
    best: tuple[tuple[float, float], float, Artifact] | None = None
    grid: list[dict[str, Any]] = []
    done: list[tuple[float, Artifact, Trained]] = []
    for lr in rates:
        try:
            done.append((lr, *train(lr)))
        except DivergedError as error:
            grid.append({"lr": lr, "diverged": str(error)})
            continue
        first = next(iter(done[-1][1].manifest.variants.values()))
        if not first.validation_accuracy:
            raise AssayError(f"{PARAMS_FILE}: train.tune: chosen on the validation set, and none is held out")
        rank = fmean(first.validation_accuracy), -fmean(first.validation_loss)
        numbers = {"validation_accuracy": first.validation_accuracy, "validation_loss": first.validation_loss}
        grid.append({"lr": lr, **numbers})
        if best is None or rank > best[0]:
            best = rank, lr, done[-1][1]
    if best is None:
        raise AssayError(
            f"{PARAMS_FILE}: train.tune.lr: every training diverged; give lower rates ({grid[0]['diverged']})"
        )
    _, lr, winner = best
    trained = next(each for rate, _, each in done if rate == lr)
    whole = Trained(trained.curves, sum(each.steps for *_, each in done), math.fsum(each.seconds for *_, each in done))
    spent = {
        name: sum(_samples(other, name) for rate, other, _ in done if rate != lr)
        + (len(grid) - len(done)) * _samples(winner, name)
        for name in winner.manifest.variants
    }
    return billed(winner, {"lr": lr, "samples": spent, "grid": grid}), whole


def billed(trained: Artifact, tuning: dict[str, Any]) -> Artifact:
    """A trained arm whose manifest says how its rate was chosen, and what each variant's choice cost."""
    manifest, spent = trained.manifest, tuning["samples"]
    variants = {
        name: one.model_copy(update={"cost": one.cost.model_copy(update={"tuning_samples": spent[name]})})
        for name, one in manifest.variants.items()
    }
    update = {"variants": variants, "record": {**manifest.record, "tuning": tuning}}
    return trained.model_copy(update={"manifest": manifest.model_copy(update=update)})


def _takes_gradients(run: Run) -> bool:
    return bool(getattr(importlib.import_module(f"assay.methods.{run.method}"), "TAKES_GRADIENTS", True))


def _samples(trained: Artifact, variant: str) -> int | float:
    cost = trained.manifest.variants[variant].cost
    return cost.train_samples + cost.forward_samples


def _said(run: Run) -> str:
    return f"lr {list(run.train.tune.lr)}" if run.train.tune else "none"
