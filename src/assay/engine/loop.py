"""The one training loop: step, count, evaluate, save; every method passes through it.

It knows nothing of methods: what a step does is the update's business, and the update asks the other seams.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from assay.engine.checkpoint import UNUSABLE, UnusableCheckpointError
from assay.engine.curves import Curves
from assay.engine.stack import predict
from assay.engine.stack.loss import cross_entropy

if TYPE_CHECKING:
    from assay.engine.checkpoint import Scratch
    from assay.engine.context import TrainContext
    from assay.engine.step_rule import StepRule

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_FRAMES = 0.2


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


def train(update: StepRule, context: TrainContext, scratch: Scratch, title: str = "") -> Trained:
    """Train to the end, from the scratch's checkpoint where it holds one.

    Args:
        update: the state and the rule that moves it.
        context: the budget, the data, and which splits to evaluate on; empty splits are left out.
        scratch: where checkpoints and live curves go.
        title: what the progress shows; by default the run's name.

    Raises:
        AssayError: the training diverged.
        UnusableCheckpointError: the checkpoint does not fit and is dropped; the update must be made anew.
    """
    budget = context.run.train
    curves = Curves(context.copies(update), context.device)
    start, seconds_before = _resume(update, curves, scratch) or (update.first_step, 0.0)
    began = time.monotonic()
    with StepProgress(title or context.run.name, budget.steps, start) as progress:
        for step in range(start, budget.steps):
            curves.see(update.step(step))
            done = step + 1
            if done % budget.evaluate_every == 0 or done == budget.steps:
                progress.evaluated(done, *_evaluate(update, context, curves, done))
                scratch.write_curves(curves.csv())
            progress.step(done)
            if done < budget.steps and scratch.is_due():
                seconds = seconds_before + time.monotonic() - began
                state = {"update": update.state(), "curves": curves.state()}
                scratch.save({"done": done, "seconds": seconds, **state})
    return Trained(curves, budget.steps - update.first_step, seconds_before + time.monotonic() - began)


def _evaluate(update: StepRule, context: TrainContext, curves: Curves, done: int) -> tuple[str, float, float]:
    """Add a point to the curves of training and of each split; gives the last one's name and means."""
    shown = ("train", *curves.add_train(done))
    weights, data = update.evaluated(), context.data
    for name in context.eval_splits:
        split = getattr(data, name)
        if len(split.labels):
            logits = predict(update.network, weights, split.images, data.mean, data.std)
            labels = split.labels.expand(logits.shape[:2])
            accuracies = (logits.argmax(-1) == labels).double().mean(1)
            shown = (name, *curves.add(done, name, cross_entropy(logits, labels).double().mean(1), accuracies))
    return shown


def _resume(update: StepRule, curves: Curves, scratch: Scratch) -> tuple[int, float] | None:
    """Put everything back as the checkpoint has it; gives the steps done and the seconds they took, if there is one."""
    state = scratch.load()
    if state is None:
        return None
    try:
        update.restore(state["update"])
        curves.restore(state["curves"])
        return int(state["done"]), float(state["seconds"])
    except torch.OutOfMemoryError:
        raise
    except UNUSABLE as error:
        scratch.drop(repr(error))
        raise UnusableCheckpointError from error


class StepProgress:
    """Progress of a training, as a context: a bar on a terminal, elsewhere a line every ten seconds and at the end.

    Args:
        title: what is trained.
        steps: how many steps in all.
        start: how many of them a resumed run has behind it.
        console: where to show it; standard output by default.
    """

    def __init__(self, title: str, steps: int, start: int = 0, console: Console | None = None) -> None:
        self._title, self._steps, self._start = title, steps, start
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._began = self._shown = time.monotonic()
        self._text = ""
        self._bar: Progress | None = None

    def __enter__(self) -> StepProgress:
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[text]}"), console=self._console)
            self._task = self._bar.add_task(self._title, total=self._steps, completed=self._start, text="")
            self._bar.start()
        elif self._start:
            self._console.print(f"{self._title}: goes on from step {self._start}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, done: int) -> None:
        """Say that `done` steps are done."""
        if self._bar is not None and self._is_due(done, SECONDS_BETWEEN_FRAMES):
            self._bar.update(self._task, completed=done, text=f"{self._rate(done):.0f} steps/s  {self._text}")

    def evaluated(self, done: int, split: str, loss: float, accuracy: float) -> None:
        """Show loss and accuracy, means over copies."""
        self._text = f"{split} loss {loss:.4f}  accuracy {100 * accuracy:.2f} %"
        if self._bar is None and self._is_due(done, SECONDS_BETWEEN_LINES):
            rate = self._rate(done)
            left = (self._steps - done) / rate if rate else 0.0
            place = f"step {done}/{self._steps}  {rate:.0f} steps/s  {left:.0f} s left"
            self._console.print(f"{self._title}: {place}  {self._text}")

    def _is_due(self, done: int, interval: float) -> bool:
        now = time.monotonic()
        if now - self._shown < interval and done < self._steps:
            return False
        self._shown = now
        return True

    def _rate(self, done: int) -> float:
        seconds = time.monotonic() - self._began
        return (done - self._start) / seconds if seconds else 0.0
