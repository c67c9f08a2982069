"""Plain gradient training: the baseline, and the control of every other method.

With `batches: fixed`, the `cyclic` control of Sahayam, Zakkam and Jayaraman (arXiv 2304.03486): the same batches come
every epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from assay.core.config import Section
from assay.core.errors import AssayError
from assay.engine.step_rule import GradientUpdate

if TYPE_CHECKING:
    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.engine.context import TrainContext

CONTRACT_ARMS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "sgd fixed": {"options": {"batches": "fixed"}},
    "sgd with batch norm": {"model": {"name": "vgg", "widths": [[4], [4]], "batch_norm": True}},
    "sgd in bfloat16": {"precision": "bfloat16"},
}


class Options(Section):
    """What an arm of this method may set beside the shared budget.

    Attributes:
        batches: `reshuffled` permutes the training set anew for each epoch; `fixed` keeps the first epoch's batches.
    """

    batches: Literal["reshuffled", "fixed"] = "reshuffled"


def check(run: Run, options: Options, images: Images, examples: int) -> None:  # noqa: ARG001
    """Refuse fixed batches of which none comes a second time, with an `AssayError`."""
    epoch = examples // run.train.batch_size
    if options.batches == "fixed" and run.train.steps <= epoch:
        raise AssayError(
            f"{run.place('steps')}: {run.train.steps} steps of {run.arm} are over before a batch comes a second time, "
            f"so `batches: fixed` changes nothing; an epoch has {epoch} batches: set it to {epoch + 1} or more"
        )


def update(context: TrainContext, options: Options) -> GradientUpdate:
    """Gradient training on plain epochs."""
    return GradientUpdate(context, context.batches(options.batches))
