"""Optimizers with fused updates, and learning-rate schedules as plain functions of the step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from assay.core import config
from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from assay.engine.stack import Weights

UNIT = 16  # float32 numbers: a cache line, at which the kernels share out work to threads, and the widest vector


class Optimizer:
    """SGD, Adam or AdamW on stacked tensors, in place: one fused call moves all copies, elementwise.

    SGD has momentum (Nesterov's, if asked for) where it is above 0; Adam is that of Kingma and Ba (2015, arXiv
    1412.6980), AdamW that of Loshchilov and Hutter (2019, arXiv 1711.05101). PyTorch's fused kernels do the arithmetic.
    Its optimizer classes stay out: they import the compiler, more than a second in every stage.

    On a CPU the kernels move vectors of numbers, and those at the end of a tensor one by one, which may round another
    way. So parameters whose copies are not whole units go to them in one padded tensor (`_padded`), and a copy has the
    same bits in a stack of any size.

    Args:
        settings: which one, and its constants.
        stored: what it moves, by name, `(copy, *shape)`.
    """

    def __init__(self, settings: config.Optimizer, stored: Weights) -> None:
        self._settings, self._constants = settings, settings.model_dump(exclude={"name", "lr", "betas"})
        stored = {name: tensor.detach() for name, tensor in stored.items()}
        self._odd = [name for name, tensor in stored.items() if not tensor.is_cuda and tensor[0].numel() % UNIT]
        self._names = [name for name in stored if name not in self._odd]
        self._own = [stored[name] for name in self._odd]
        whole = [stored[name] for name in self._names]
        packed, self._values = _padded(self._own)
        self._packed_gradients, self._gradients = _padded(self._own)
        self._tensors = [*whole, *packed]
        self._kept: dict[str, list[Tensor]] = {}  # for a checkpoint, without the padding of `_moments`
        self._moments: dict[str, list[Tensor]] = {}
        adam = ("mean", "mean_square")
        for name in adam if isinstance(settings, config.Adam) else ("velocity",) * bool(settings.momentum):
            fresh, (padded, views) = [torch.zeros_like(tensor) for tensor in whole], _padded(self._own)
            self._kept[name], self._moments[name] = [*fresh, *views], [*fresh, *padded]
        if isinstance(settings, config.Adam):
            self._constants |= dict(zip(("beta1", "beta2"), settings.betas, strict=True))
            self._kept["steps"] = [torch.zeros((), device=tensor.device) for tensor in self._tensors[:1]]

    def step(self, gradients: Weights, rate: float) -> None:
        """Move the tensors.

        Args:
            gradients: by the names of what is stored, of the same shapes.
            rate: the learning rate of this step.
        """
        if self._odd:
            torch._foreach_copy_(self._values, self._own)
            torch._foreach_copy_(self._gradients, [gradients[name] for name in self._odd])
        self._move([*(gradients[name] for name in self._names), *self._packed_gradients], rate)
        if self._odd:
            torch._foreach_copy_(self._own, self._values)

    def _move(self, gradients: list[Tensor], rate: float) -> None:
        constants = {**self._constants, "lr": rate, "maximize": False}
        if isinstance(self._settings, config.SGD):
            velocity = self._moments.get("velocity", [])
            torch._fused_sgd_(self._tensors, gradients, velocity, dampening=0.0, is_first_step=False, **constants)
            return
        (steps,) = self._kept["steps"]
        steps += 1
        (mean, mean_square), times = self._moments.values(), [steps] * len(self._tensors)
        kernel = torch._fused_adamw_ if self._settings.name == "adamw" else torch._fused_adam_
        kernel(self._tensors, gradients, mean, mean_square, [], times, amsgrad=False, **constants)

    def state(self) -> dict[str, list[Tensor]]:
        """For a checkpoint."""
        return self._kept

    def restore(self, state: dict[str, list[Tensor]]) -> None:
        """From a checkpoint."""
        for name, tensors in self._kept.items():
            for own, saved in zip(tensors, state[name], strict=True):
                own.copy_(saved)


def _padded(tensors: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """One tensor of zeros `(copy, number)` with room for all of these, none where there are none; and a view for each.

    In a copy each begins at a whole unit, so that no copy's numbers depend on how many copies there are.
    """
    if not tensors:
        return [], []
    sizes = [-(-tensor[0].numel() // UNIT) * UNIT for tensor in tensors]
    room = tensors[0].new_zeros(len(tensors[0]), sum(sizes))
    parts = zip(room.split(sizes, 1), tensors, strict=True)
    return [room], [part[:, : own[0].numel()].view(own.shape) for part, own in parts]


def check_warm_up(schedule: config.Schedule, steps: int, where: str) -> None:
    """Refuse a training, or a phase of one, in which the learning rate never reaches its full height.

    Args:
        schedule: of the optimizer.
        steps: how long the training or phase is.
        where: the key that decides how long it is, and what it is, for the message.

    Raises:
        AssayError: the warm-up is no shorter than that.
    """
    if schedule.warmup_steps >= steps:
        raise AssayError(
            f"{where} has {steps} steps, no more than the schedule's warmup_steps ({schedule.warmup_steps}), so that "
            "its full learning rate is never reached; make it longer, or lower schedule.warmup_steps"
        )


def rate_factor(schedule: config.Schedule, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at a step.

    Args:
        schedule: its shape; a warm-up rises linearly and reaches the full rate at step `warmup_steps`.
        step: from 0.
        steps: the length of what the schedule spans, more than the warm-up (`check_warm_up`): a whole training, or a
            phase of one. A cosine reaches `final` when the last of them is done.
    """
    if step < schedule.warmup_steps:
        return (step + 1) / (schedule.warmup_steps + 1)
    if isinstance(schedule, config.Step):
        return schedule.factor ** sum(step >= at for at in schedule.at)
    if isinstance(schedule, config.Cosine):
        progress = (step - schedule.warmup_steps) / (steps - schedule.warmup_steps)
        return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * progress)) / 2
    return 1.0
