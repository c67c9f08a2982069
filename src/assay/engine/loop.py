"""The one training loop: step, count, evaluate, save; every method passes through it.

It knows nothing of methods: what a step does is the update's business, and the update asks the other three seams.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from assay.engine.checkpoint import UNUSABLE, UnusableCheckpointError
from assay.engine.curves import Curves, Running
from assay.engine.progress import StepProgress
from assay.engine.stack import example_losses, predict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.data.sets.prepared import Prepared, Split
    from assay.engine.checkpoint import Scratch
    from assay.engine.curves import Copy
    from assay.engine.step_rule import StepRule


@dataclass(frozen=True)
class Plan:
    """How long to train, and when and on what to look up.

    Attributes:
        title: what the progress shows.
        steps: how many.
        evaluate_every: steps between two evaluations; there is one at the end in any case.
        copies: whose curves the copies of the stack draw.
        splits: what to evaluate on, by the name that stands in the curves; empty splits are left out.
        first_step: the step to begin with; the steps before it are not taken.
    """

    title: str
    steps: int
    evaluate_every: int
    copies: Sequence[Copy]
    splits: Mapping[str, Split]
    first_step: int = 0


@dataclass(frozen=True)
class Trained:
    """What the loop leaves beside the update's own state.

    Attributes:
        curves: loss and accuracy over steps.
        steps: how many were taken.
        seconds: that the loop took, over all the runs that a kill may have cut it into; never a stage's input.
    """

    curves: Curves
    steps: int
    seconds: float


def train(update: StepRule, plan: Plan, data: Prepared, scratch: Scratch) -> Trained:
    """Train to the end, from the scratch's checkpoint where it holds one.

    Args:
        update: the state and the rule that moves it.
        plan: how long, and when to look up.
        data: for mean and standard deviation of the pixels, and the device.
        scratch: where checkpoints and live curves go.

    Raises:
        AssayError: the training diverged.
        UnusableCheckpointError: the checkpoint does not fit and is dropped; the update must be made anew.
    """
    curves = Curves(plan.copies)
    running = Running(len(plan.copies), data.train.images.device)
    start, seconds_before = _resume(update, curves, running, scratch) or (plan.first_step, 0.0)
    began = time.monotonic()
    with StepProgress(plan.title, plan.steps, start) as progress:
        for step in range(start, plan.steps):
            running.add(update.step(step))
            done = step + 1
            if done % plan.evaluate_every == 0 or done == plan.steps:
                progress.evaluated(done, *_evaluate(update, plan, data, curves, running, done))
                scratch.write_curves(curves.csv())
            progress.step(done)
            if done < plan.steps and scratch.is_due():
                seconds = seconds_before + time.monotonic() - began
                scratch.save(_checkpoint(done, seconds, update, curves, running))
    return Trained(curves, plan.steps - plan.first_step, seconds_before + time.monotonic() - began)


def _evaluate(
    update: StepRule, plan: Plan, data: Prepared, curves: Curves, running: Running, done: int
) -> tuple[str, float, float]:
    """Add a point to the curves of training and of each split; gives the last one's name and means."""
    shown = ("train", *curves.add(done, "train", *running.take()))
    weights = update.evaluated()
    for name, split in plan.splits.items():
        if len(split.labels):
            logits = predict(update.network, weights, split.images, data.mean, data.std)
            labels = split.labels.expand(logits.shape[:2])
            accuracies = (logits.argmax(-1) == labels).double().mean(1)
            shown = (name, *curves.add(done, name, example_losses(logits, labels).double().mean(1), accuracies))
    return shown


def _checkpoint(done: int, seconds: float, update: StepRule, curves: Curves, running: Running) -> dict[str, Any]:
    return {
        "done": done,
        "seconds": seconds,
        "update": update.state(),
        "curves": [list(row) for row in curves.rows],
        "running": running.state(),
    }


def _resume(update: StepRule, curves: Curves, running: Running, scratch: Scratch) -> tuple[int, float] | None:
    """Put everything back as the checkpoint has it; gives the steps done and the seconds they took, if there is one."""
    state = scratch.load()
    if state is None:
        return None
    try:
        update.restore(state["update"])
        curves.rows = [tuple(row) for row in state["curves"]]
        running.restore(state["running"])
        return int(state["done"]), float(state["seconds"])
    except torch.OutOfMemoryError:
        raise
    except UNUSABLE as error:
        scratch.drop(repr(error))
        raise UnusableCheckpointError from error
