"""The third seam: what is kept beside the last weights?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.engine.parametrisation import Outcome
    from assay.engine.stack import Weights


class Averaging:
    """Nothing is kept. Stochastic weight averaging overrides this."""

    def rate(self, step: int, scheduled: float) -> float:  # noqa: ARG002
        """The learning rate of a step, where averaging asks for another than the schedule's."""
        return scheduled

    def observe(self, step: int, weights: Weights, buffers: Weights) -> None:
        """See the weights after the update of a step, `(copy, *shape)`; they are overwritten by the next one."""

    def variants(self) -> dict[str, Outcome]:
        """What was kept, by variant; it comes before the last weights, since it is what the arm is for."""
        return {}

    def record(self) -> dict[str, Any]:
        """What there is to say of the training, for the manifest: JSON, the same in every rerun."""
        return {}

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
