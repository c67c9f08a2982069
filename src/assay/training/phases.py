"""What a training has reached at the end of each of its phases: on its subset, on everything, on what is held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.nn import functional as F

from assay.training.cost import KINDS
from assay.training.stack import predict
from assay.training.update import Seen, Update

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Bool, Float, Int64
    from torch import Tensor

    from assay.data.prepared import Prepared
    from assay.training.parametrisation import Outcome
    from assay.training.stack import Weights


@dataclass(frozen=True)
class Yardstick:
    """What the networks are measured on at the end of a phase.

    Attributes:
        data: the prepared data; its validation set may be empty.
        labels: of the training set, each copy's own.
        subset: each copy's positions in the training set.
    """

    data: Prepared
    labels: Int64[Tensor, "copy example"]
    subset: Int64[Tensor, "copy subset"]

    def measure(self, update: Update) -> dict[str, Any]:
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
        self, update: Update, images: Tensor, labels: Tensor
    ) -> tuple[Float[Tensor, "copy example"], Bool[Tensor, "copy example"]]:
        logits = predict(update.network, update.evaluated(), images, self.data.mean, self.data.std)
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
        return losses, logits.argmax(-1) == labels


class MeasuredPhases(Update):
    """An update whose networks are measured when a phase is done; as with validation, the measuring is not billed.

    Args:
        inner: the update that does everything else.
        ends: the names of the phases by their number of steps done at the end, in order.
        yardstick: what to measure on.
        about: what else there is to record.
    """

    def __init__(self, inner: Update, ends: Mapping[int, str], yardstick: Yardstick, about: dict[str, Any]) -> None:
        self.network, self.counters = inner.network, inner.counters
        self._inner, self._ends, self._yardstick, self._about = inner, dict(ends), yardstick, about
        self._phases: list[dict[str, Any]] = []

    def step(self, step: int) -> Seen:
        """The inner update's step; then, at the end of a phase, a look at where it led."""
        seen = self._inner.step(step)
        if step + 1 in self._ends:
            cost = self.counters.cost().model_dump()
            spent = {kind: cost[kind] - sum(phase[kind] for phase in self._phases) for kind in KINDS}
            self._phases.append({"phase": self._ends[step + 1], **spent, **self._yardstick.measure(self._inner)})
        return seen

    def evaluated(self) -> Weights:
        """The inner update's."""
        return self._inner.evaluated()

    def variants(self) -> dict[str, Outcome]:
        """The inner update's."""
        return self._inner.variants()

    def record(self) -> dict[str, Any]:
        """The phases beside what else there is to say."""
        return {**self._inner.record(), **self._about, "phases": self._phases}

    def state(self) -> dict[str, Any]:
        """The inner update's, and the phases that are done."""
        return {"inner": self._inner.state(), "phases": self._phases}

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self._inner.restore(state["inner"])
        self._phases = list(state["phases"])


def _means(losses: Float[Tensor, "copy n"], correct: Bool[Tensor, "copy n"]) -> dict[str, list[float]]:
    return {
        "loss": [round(loss, 6) for loss in losses.double().mean(1).tolist()],
        "accuracy": [round(share, 6) for share in correct.double().mean(1).tolist()],
    }
