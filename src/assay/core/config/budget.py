"""The section `train` of params.yaml: how long, with which optimizer and schedule, in which precision."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from assay.core.config.parsing import Section


class SGD(Section):
    """Stochastic gradient descent, with momentum."""

    name: Literal["sgd"]
    lr: float = Field(gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> SGD:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class Adam(Section):
    """Adam (Kingma and Ba 2015), or with decoupled weight decay AdamW (Loshchilov and Hutter 2019)."""

    name: Literal["adam", "adamw"]
    lr: float = Field(gt=0)
    betas: tuple[float, float] = Field(default=(0.9, 0.999), strict=False)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)

    @field_validator("betas")
    @classmethod
    def _in_unit_interval(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError("both must lie in [0, 1)")
        return value


class Constant(Section):
    """The learning rate stays."""

    name: Literal["constant"]
    warmup_steps: int = Field(default=0, ge=0)


class Step(Section):
    """The learning rate is multiplied by `factor` at each step listed under `at`."""

    name: Literal["step"]
    at: tuple[int, ...] = Field(min_length=1, strict=False)
    factor: float = Field(default=0.1, gt=0)
    warmup_steps: int = Field(default=0, ge=0)

    @field_validator("at")
    @classmethod
    def _increasing(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value[0] < 1 or any(later <= earlier for earlier, later in pairwise(value)):
            raise ValueError("must be steps from 1 upwards, each later than the one before")
        return value


class Cosine(Section):
    """The learning rate falls along half a cosine to `final` times its start."""

    name: Literal["cosine"]
    final: float = Field(default=0.0, ge=0, le=1)
    warmup_steps: int = Field(default=0, ge=0)


Optimizer = Annotated[SGD | Adam, Field(discriminator="name")]
Schedule = Annotated[Constant | Step | Cosine, Field(discriminator="name")]


class Tune(Section):
    """A grid: the arm trains at each value, with all its seeds, and the validation set chooses (`methods._tuning`).

    Attributes:
        lr: learning rates of the optimizer, each different.
    """

    lr: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=2, strict=False)

    @field_validator("lr")
    @classmethod
    def _distinct(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each rate must stand once")
        return value


class Train(Section):
    """The budget that every arm shares, unless it overrides a part of it in the open.

    Attributes:
        tune: the grid from which each arm that trains by gradients chooses its learning rate, in place of the
            optimizer's `lr`; either all of them have the same or none has one.
    """

    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    optimizer: Optimizer
    schedule: Schedule = Constant(name="constant")
    evaluate_every: int = Field(ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    tune: Tune | None = None

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Train:
        if self.schedule.warmup_steps >= self.steps:
            raise ValueError(f"schedule.warmup_steps is {self.schedule.warmup_steps}; it must be less than steps")
        return self
