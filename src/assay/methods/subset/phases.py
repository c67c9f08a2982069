"""What a training has reached at the end of each of its phases: on its subset, on everything, on what is held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay.engine.stack import predict
from assay.engine.stack.loss import cross_entropy
from assay.engine.step_rule import KINDS, BatchStats, StepRule, StepWrapper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Bool, Float, Int64
    from torch import Tensor

    from assay.data.sets.prepared import Prepared


@dataclass(frozen=True)
class PhaseEvaluator:
    """What the networks are measured on at the end of a phase.

    Attributes:
        data: the prepared data; its validation set may be empty.
        labels: of the training set, each copy's own.
        subset: each copy's positions in the training set.
    """

    data: Prepared
    labels: Int64[Tensor, "copy example"]
    subset: Int64[Tensor, "copy subset"]

    def measure(self, update: StepRule) -> dict[str, Any]:
        """Mean loss and accuracy of each copy on the subset, the training set and the validation set."""
        losses, correct = self._run(update, self.data.train.images, self.labels)
        measured = {
            "subset": _means(losses.gather(1, self.subset), correct.gather(1, self.subset)),
            "train": _means(losses, correct),
        }
        held_out = self.data.validation
        if len(held_out.labels):
            labels = held_out.labels.expand(len(self.labels), -1)
            measured["validation"] = _means(*self._run(update, held_out.images, labels))
        return measured

    def _run(
        self, update: StepRule, images: Tensor, labels: Tensor
    ) -> tuple[Float[Tensor, "copy example"], Bool[Tensor, "copy example"]]:
        logits = predict(update.network, update.evaluated(), images, self.data.mean, self.data.std)
        return cross_entropy(logits, labels), logits.argmax(-1) == labels


class MeasuredPhases(StepWrapper):
    """An update whose networks are measured when a phase is done; as with validation, the measuring is not billed.

    Args:
        inner: the update that does everything else.
        ends: the names of the phases by their number of steps done at the end, in order.
        evaluator: what to measure on.
        about: what else there is to record.
    """

    def __init__(
        self, inner: StepRule, ends: Mapping[int, str], evaluator: PhaseEvaluator, about: dict[str, Any]
    ) -> None:
        super().__init__(inner)
        self._ends, self._evaluator, self._about = dict(ends), evaluator, about
        self._phases: list[dict[str, Any]] = []

    def step(self, step: int) -> BatchStats:
        """The inner update's step; then, at the end of a phase, a look at where it led."""
        seen = super().step(step)
        if step + 1 in self._ends:
            cost = self.counters.cost().model_dump()
            spent = {kind: cost[kind] - sum(phase[kind] for phase in self._phases) for kind in KINDS}
            self._phases.append({"phase": self._ends[step + 1], **spent, **self._evaluator.measure(self.inner)})
        return seen

    def record(self) -> dict[str, Any]:
        """The phases beside what else there is to say."""
        return {**super().record(), **self._about, "phases": self._phases}

    def state(self) -> dict[str, Any]:
        """The inner update's, and the phases that are done."""
        return {**super().state(), "phases": self._phases}

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        super().restore(state)
        self._phases = list(state["phases"])


def _means(losses: Float[Tensor, "copy n"], correct: Bool[Tensor, "copy n"]) -> dict[str, list[float]]:
    return {
        "loss": [round(loss, 6) for loss in losses.double().mean(1).tolist()],
        "accuracy": [round(share, 6) for share in correct.double().mean(1).tolist()],
    }
