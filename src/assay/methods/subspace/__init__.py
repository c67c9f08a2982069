"""Lines, curves and simplexes of networks, learned in one run.

Wortsman, Horton, Guestrin, Farhadi, Rastegari, "Learning Neural Network Subspaces" (ICML 2021, arXiv 2102.10472). Each
step draws a point of the subspace, runs the network there, and moves every endpoint by its share of the gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator

from assay import models
from assay.core.config import PARAMS_FILE, Section
from assay.core.errors import AssayError
from assay.core.runtime import key
from assay.methods.subspace.endpoints import Endpoints, layers
from assay.methods.subspace.geometry import Shape  # noqa: TC001 (pydantic reads annotations at run time)

if TYPE_CHECKING:
    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.engine.context import TrainContext
    from assay.engine.step_rule import StepRule

PAPER = {"key": "wortsman2021", "topic": "Neural-network subspaces", "cited": "Wortsman et al. 2021, ICML"}
CONTRACT_ARMS: dict[str, dict[str, Any]] = {
    "line": {},
    "curve": {"options": {"shape": "curve"}},
    "simplex": {"options": {"shape": "simplex"}, "label_noise": 0.2},
    "line, layerwise": {"model": {"name": "mlp", "hidden": [8]}, "options": {"layerwise": True}},
    "line with batch norm": {"model": {"name": "vgg", "widths": [[4], [4]], "batch_norm": True}},
}


class Options(Section):
    """What an arm of this method may set beside the shared budget.

    Attributes:
        shape: of the subspace.
        endpoints: m, the corners of a simplex, 3 unless given; a line has 2, a curve 3 with its bend.
        beta: β, how strongly endpoints are held apart.
        layerwise: whether each layer's point is drawn for itself, or one serves the whole network.
        pair: α of the variant `pair`, which combines the networks at α and 1 - α of a line or curve.
        combine: how the networks of an ensemble or pair become one prediction; `mean_logit` is the authors'.
    """

    shape: Shape = "line"
    endpoints: int | None = Field(default=None, ge=2)
    beta: float = Field(default=1.0, ge=0)
    layerwise: bool = False
    pair: float = Field(default=0.2, ge=0, le=1)
    combine: Literal["mean_probability", "mean_logit"] = "mean_probability"

    @field_validator("endpoints")
    @classmethod
    def _of_a_simplex(cls, value: int | None, info: ValidationInfo) -> int | None:
        shape = info.data.get("shape", "simplex")
        if value is not None and shape != "simplex":
            raise ValueError(f"only a simplex takes it, not a {shape}")
        return value

    @field_validator("pair")
    @classmethod
    def _of_two_networks(cls, value: float) -> float:
        if value == 0.5:
            raise ValueError("at 0.5 both networks of the pair are the midpoint; choose another")
        return value

    @property
    def count(self) -> int:
        """m, with a curve's bend."""
        return {"line": 2, "curve": 3, "simplex": self.endpoints or 3}[self.shape]

    @property
    def ends(self) -> int:
        """The endpoints that are points of the subspace: all but a curve's bend."""
        return 2 if self.shape == "curve" else self.count


def check(run: Run, options: Options, images: Images, examples: int) -> None:  # noqa: ARG001
    """Refuse to draw layer by layer where there is one layer.

    Raises:
        AssayError: the model has one layer.
    """
    if options.layerwise and len(layers(models.blueprint(run.model.name, images, run.model.arguments))) < 2:
        raise AssayError(
            f"{PARAMS_FILE}: arms.{run.arm}.layerwise: {run.model.name} has one layer, for which it changes nothing; "
            "leave it out, or choose another model"
        )


def variants(options: Options) -> dict[str, int]:
    """The midpoint, the ensemble of the ends, and of a line or curve also a pair in between."""
    found = {"midpoint": 1, "ensemble": options.ends}
    return found if options.shape == "simplex" else {**found, "pair": 2}


def record_keys(run: Run, options: Options) -> tuple[str, ...]:  # noqa: ARG001
    """How far apart the endpoints are."""
    return ("squared_cosine", "distance")


def update(context: TrainContext, options: Options) -> StepRule:
    """Gradient training of m networks a seed, drawn independently of each other, through points between them.

    The first endpoint starts where the baseline's network of the same seed does.
    """
    seeds = context.run.seeds
    network, first, buffers = context.fresh(seeds)
    others = [context.fresh([key(seed, "endpoint", n) for seed in seeds])[1] for n in range(1, options.count)]
    stored = {name: torch.stack([parameters[name] for parameters in (first, *others)], 1) for name in first}
    endpoints = Endpoints(options, network, buffers, context)
    return context.gradient_update(context.batches(), endpoints, stored=stored)
