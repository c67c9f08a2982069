"""Optimizers with fused updates, and learning-rate schedules as plain functions of the step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch

from assay import config

if TYPE_CHECKING:
    from torch import Tensor

    from assay.training.stack import Weights


class Optimizer(ABC):
    """A rule that moves stacked tensors in place: one fused call moves all copies, elementwise and so independently.

    PyTorch's fused kernels do the arithmetic. Its optimizer classes stay out: they import the compiler, more than a
    second in every stage, and keep books at every step, as do the functions between.

    Args:
        stored: what it moves, by name, `(copy, *shape)`.
        kept: the names of what it keeps of each tensor, 0 at first.
    """

    def __init__(self, stored: Weights, *kept: str) -> None:
        self._names, self._tensors = list(stored), list(stored.values())
        self._kept = {name: [torch.zeros_like(tensor) for tensor in self._tensors] for name in kept}

    @abstractmethod
    def step(self, gradients: Weights, rate: float) -> None:
        """Move the tensors.

        Args:
            gradients: by the names of what is stored, of the same shapes.
            rate: the learning rate of this step.
        """

    def state(self) -> dict[str, list[Tensor]]:
        """For a checkpoint."""
        return self._kept

    def restore(self, state: dict[str, list[Tensor]]) -> None:
        """From a checkpoint."""
        for name, tensors in self._kept.items():
            for own, saved in zip(tensors, state[name], strict=True):
                own.copy_(saved)

    def _ordered(self, gradients: Weights) -> list[Tensor]:
        return [gradients[name] for name in self._names]


class FusedAdam(Optimizer):
    """Adam (Kingma and Ba 2015, arXiv 1412.6980), or AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).

    Args:
        stored: what it moves.
        settings: its constants.
    """

    def __init__(self, stored: Weights, settings: config.Adam) -> None:
        super().__init__(stored, "mean", "mean_square")
        self._kept["steps"] = [torch.zeros((), device=tensor.device) for tensor in self._tensors[:1]]
        self._settings = settings
        self._kernel = torch._fused_adamw_ if settings.name == "adamw" else torch._fused_adam_

    def step(self, gradients: Weights, rate: float) -> None:
        """Move the tensors; the steps are counted on the way."""
        (steps,) = self._kept["steps"]
        steps += 1
        self._kernel(
            self._tensors,
            self._ordered(gradients),
            self._kept["mean"],
            self._kept["mean_square"],
            [],
            [steps] * len(self._tensors),
            amsgrad=False,
            maximize=False,
            lr=rate,
            beta1=self._settings.betas[0],
            beta2=self._settings.betas[1],
            eps=self._settings.eps,
            weight_decay=self._settings.weight_decay,
        )


class FusedSGD(Optimizer):
    """Stochastic gradient descent, with momentum (Nesterov's, if asked for) where it is above 0.

    Args:
        stored: what it moves.
        settings: its constants.
    """

    def __init__(self, stored: Weights, settings: config.SGD) -> None:
        super().__init__(stored, *(["velocity"] if settings.momentum else []))
        self._settings = settings

    def step(self, gradients: Weights, rate: float) -> None:
        """Move the tensors."""
        torch._fused_sgd_(
            self._tensors,
            self._ordered(gradients),
            self._kept.get("velocity", []),
            dampening=0.0,
            nesterov=self._settings.nesterov,
            maximize=False,
            is_first_step=False,
            lr=rate,
            momentum=self._settings.momentum,
            weight_decay=self._settings.weight_decay,
        )


def make_optimizer(settings: config.Optimizer, stored: Weights) -> Optimizer:
    """The optimizer over stacked tensors.

    Args:
        settings: which one, and its constants.
        stored: `(copy, *shape)` by name.
    """
    values = {name: tensor.detach() for name, tensor in stored.items()}
    return FusedSGD(values, settings) if isinstance(settings, config.SGD) else FusedAdam(values, settings)


def rate_factor(schedule: config.Schedule, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at a step.

    Args:
        schedule: its shape; a warm-up rises linearly and reaches the full rate at step `warmup_steps`.
        step: from 0.
        steps: the length of the whole training; a cosine reaches `final` when the last of them is done.
    """
    if step < schedule.warmup_steps:
        return (step + 1) / (schedule.warmup_steps + 1)
    if isinstance(schedule, config.Step):
        return schedule.factor ** sum(step >= at for at in schedule.at)
    if isinstance(schedule, config.Cosine):
        progress = (step - schedule.warmup_steps) / (steps - schedule.warmup_steps)
        return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * progress)) / 2
    return 1.0
