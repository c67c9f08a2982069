"""The one training loop: step, count, evaluate, save; every method passes through it, and it knows none.

The losses and accuracies over steps that it leaves, for every copy, are `metrics/curves/<arm>.csv`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from assay.core import files, runtime
from assay.core.errors import AssayError
from assay.core.plain import csv_of
from assay.engine.checkpoint import UNUSABLE, Stateful, UnusableCheckpointError
from assay.engine.stack import predict
from assay.engine.stack.loss import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from assay.engine.checkpoint import Scratch
    from assay.engine.context import TrainContext
    from assay.engine.stack import BatchStats
    from assay.engine.step_rule import StepRule

COLUMNS = ("arm", "seed", "step", "split", "loss", "accuracy")
EMULATED = "{}: bfloat16 is emulated here; this machine trains faster with `precision: float32`"
SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_FRAMES = 0.2


class DivergedError(AssayError):
    """A loss is not finite."""


class Curves(Stateful):
    """Rows of `COLUMNS`, one for each evaluation, split and copy of the stack, which has an arm and a seed.

    Means over the training steps since the last evaluation are summed on the device, so that no step waits for it.
    """

    kept = ("rows", "_sums", "_steps")

    def __init__(self, copies: Sequence[tuple[str, int]], device: torch.device | None = None) -> None:
        self.copies = tuple(copies)
        self.rows: list[tuple[str, int, int, str, float, float]] = []
        self._sums = torch.zeros(2, len(self.copies), dtype=torch.float64, device=device)
        self._steps = 0

    def see(self, stats: BatchStats) -> None:
        """Take what a training step saw into the means."""
        self._sums[0] += stats.losses.mean(1)
        self._sums[1] += stats.correct.float().mean(1)
        self._steps += 1

    def add_train(self, step: int) -> tuple[float, float]:
        """Add a point `train`, the means over the steps since the last one; as `add`."""
        losses, accuracies = (self._sums / max(1, self._steps)).cpu()
        self._sums.zero_()
        self._steps = 0
        return self.add(step, "train", losses, accuracies)

    def add(
        self, step: int, split: str, losses: Float[Tensor, " copy"], accuracies: Float[Tensor, " copy"]
    ) -> tuple[float, float]:
        """Add a point for each copy; gives the means over copies. A loss that is not finite is a `DivergedError`."""
        for (arm, seed), loss, accuracy in zip(self.copies, losses.tolist(), accuracies.tolist(), strict=True):
            if not loss < float("inf"):
                raise DivergedError(
                    f"{arm}: the {split} loss of seed {seed} is {loss} at step {step}: the training "
                    "diverged; lower the optimizer's lr, or give its schedule warmup_steps"
                )
            self.rows.append((arm, seed, step, split, round(loss, 6), round(accuracy, 6)))
        return losses.mean().item(), accuracies.mean().item()

    def best(self, arm: str) -> tuple[list[int], list[float]]:
        """For each copy of an arm, the first step of the least validation loss; if known, the test accuracy there."""
        steps, accuracies = [], []
        for copy in self.copies:
            own = [row for row in self.rows if row[:2] == copy and copy[0] == arm]
            losses = [(loss, step) for *_, step, split, loss, _ in own if split == "validation"]
            steps += [min(losses)[1]] if losses else []
            accuracies += [row[5] for row in own if losses and row[2:4] == (steps[-1], "test")]
        return steps, accuracies

    def csv(self) -> str:
        """The table as text."""
        return csv_of(COLUMNS, self.rows)


@dataclass(frozen=True)
class Trained:
    """What the loop leaves beside the update's own state; the seconds are summed over runs that were killed."""

    curves: Curves
    steps: int
    seconds: float


def train(update: StepRule, context: TrainContext, scratch: Scratch, title: str = "") -> Trained:
    """Train to the end, from the scratch's checkpoint where it holds one.

    The curves are of the run's evaluation splits that are not empty. Progress shows the title, or the run's name.

    Raises:
        AssayError: the training diverged.
        UnusableCheckpointError: the checkpoint does not fit and is dropped; the update must be made anew.
    """
    budget = context.run.train
    arm = context.run.arm
    if context.run.train.precision == "bfloat16" and not runtime.has_bfloat16(context.device):
        print(EMULATED.format(context.run.place("precision")), flush=True)
    names = [f"{arm}/{name}" if name else arm for name in update.curve_names]
    curves = Curves([(name, seed) for name in names for seed in context.run.seeds], context.device)
    start, seconds_before = update.first_step, 0.0
    state = scratch.load()
    if state is not None:
        try:
            update.restore(state["update"])
            curves.restore(state["curves"])
            start, seconds_before = int(state["done"]), float(state["seconds"])
        except torch.OutOfMemoryError:
            raise
        except UNUSABLE as error:
            scratch.drop(repr(error))
            raise UnusableCheckpointError from error
    began = time.monotonic()
    with StepProgress(title or context.run.name, budget.steps, update.counters.images, start) as progress:
        for step in range(start, budget.steps):
            curves.see(update.step(step))
            done = step + 1
            if done % budget.evaluate_every == 0 or done == budget.steps:
                progress.evaluated(*_evaluate(update, context, curves, done))
                files.write_text(scratch.folder / "curves.csv", curves.csv())  # for whoever follows the run
            progress.step(done)
            if done < budget.steps and scratch.is_due():
                state = {"done": done, "seconds": seconds_before + time.monotonic() - began}
                scratch.save({**state, "update": update.state(), "curves": curves.state()})
    return Trained(curves, budget.steps - update.first_step, seconds_before + time.monotonic() - began)


def _evaluate(update: StepRule, context: TrainContext, curves: Curves, done: int) -> tuple[str, float, float]:
    """Add a point to the curves of training and of each split; gives the name and means of the one to show."""
    points = {"train": curves.add_train(done)}
    weights, data = update.evaluated(), context.data
    for name in context.run.eval_splits:
        split = getattr(data, name)
        if len(split.labels):
            logits = predict(update.network, weights, split.images, data.mean, data.std, context.run.train.precision)
            labels = split.labels.expand(logits.shape[:2])
            accuracies = (logits.argmax(-1) == labels).double().mean(1)
            points[name] = curves.add(done, name, cross_entropy(logits, labels).double().mean(1), accuracies)
    shown = next(name for name in ("validation", "test", "train") if name in points)
    return shown, *points[shown]


class StepProgress:
    """Progress of a training, as a context: a bar on a terminal, elsewhere a line every ten seconds and at the end."""

    def __init__(
        self, title: str, steps: int, images: Callable[[], int], start: int = 0, console: Console | None = None
    ) -> None:
        """`images` counts the images that passed through networks so far."""
        self._title, self._steps, self._start, self._text = title, steps, start, ""
        self._images, self._images_before = images, images()
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._began = self._shown = time.monotonic()
        self._is_bar = self._console.is_terminal
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        text = TextColumn("{task.fields[text]}")
        self._bar = Progress(*columns, text, console=self._console, disable=not self._is_bar)
        self._task = self._bar.add_task(title, total=steps, completed=start, text="")

    def __enter__(self) -> StepProgress:
        self._bar.start()
        if self._start and not self._is_bar:
            self._console.print(f"{self._title}: goes on from step {self._start}")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, done: int) -> None:
        """Say that `done` steps are done."""
        self._show(done, SECONDS_BETWEEN_FRAMES if self._is_bar else SECONDS_BETWEEN_LINES)

    def evaluated(self, split: str, loss: float, accuracy: float) -> None:
        """Show loss and accuracy, means over copies, from the next step on."""
        self._text = f"{split} loss {loss:.4f}  accuracy {100 * accuracy:.2f} %"

    def _show(self, done: int, interval: float) -> None:
        now = time.monotonic()
        if now - self._shown < interval and done < self._steps:
            return
        self._shown = now
        seconds = max(now - self._began, 1e-9)
        rate, images = (done - self._start) / seconds, (self._images() - self._images_before) / seconds
        rates = f"{_digits(rate)} steps/s  {_digits(images)} images/s"
        if self._is_bar:
            self._bar.update(self._task, completed=done, text=f"{rates}  {self._text}")
        else:
            place = f"step {done}/{self._steps}  {rates}  {(self._steps - done) / rate:.0f} s left"
            self._console.print(f"{self._title}: {place}  {self._text}".rstrip())


def _digits(rate: float) -> str:
    """At least two digits that say something: 0.84, 7.3, 12, 2,180."""
    return f"{rate:,.0f}" if rate >= 9.95 else f"{rate:#.2g}"
