"""Optimizers with fused updates, and learning-rate schedules as plain functions of the step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from assay.config import SGD, Cosine, Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from assay.config import Optimizer, Schedule


def make_optimizer(config: Optimizer, stored: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The optimizer over stacked tensors: one fused update moves all copies, elementwise and so independently.

    Args:
        config: which one, and its constants.
        stored: leaf tensors `(copy, *shape)`.
    """
    tensors = list(stored)
    if isinstance(config, SGD):
        return torch.optim.SGD(
            tensors,
            lr=config.lr,
            momentum=config.momentum,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
            fused=True,
        )
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(tensors, lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay, fused=True)


def rate_factor(schedule: Schedule, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at a step.

    Args:
        schedule: its shape; a warm-up rises linearly and reaches the full rate at step `warmup_steps`.
        step: from 0.
        steps: the length of the whole training; a cosine reaches `final` when the last of them is done.
    """
    if step < schedule.warmup_steps:
        return (step + 1) / (schedule.warmup_steps + 1)
    if isinstance(schedule, Step):
        return schedule.factor ** sum(step >= at for at in schedule.at)
    if isinstance(schedule, Cosine):
        progress = (step - schedule.warmup_steps) / (steps - schedule.warmup_steps)
        return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * progress)) / 2
    return 1.0


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
