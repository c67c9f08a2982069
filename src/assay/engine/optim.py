"""Optimizers with fused updates, and learning-rate schedules as plain functions of the step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from assay.core import config
from assay.core.errors import AssayError
from assay.engine.checkpoint import Stateful

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from assay.engine.stack import Weights

UNIT = 16  # float32 numbers: a cache line, at which the kernels share out work to threads, and the widest vector


Rule = tuple[float, bool]
"""The factor of a tensor's learning rate, and whether weight decay acts on it."""


class Optimizer(Stateful):
    """What moves the stored tensors: a `Group` for each rule, most often one for all of them.

    Args:
        settings: which one, and its constants.
        stored: what it moves, by name, `(copy, *shape)`, contiguous.
        rules: by name; without them, the whole rate and decay. A tensor of factor 0 stays, and needs no gradient.
    """

    def __init__(self, settings: config.Optimizer, stored: Weights, rules: Mapping[str, Rule] | None = None) -> None:
        by_rule: dict[Rule, Weights] = {}
        for name, tensor in stored.items():
            by_rule.setdefault(rules[name] if rules else (1.0, True), {})[name] = tensor
        self.groups = {rule: Group(settings, own, decays=rule[1]) for rule, own in by_rule.items() if rule[0]}

    def step(self, gradients: Weights, rate: float) -> None:
        """Move the tensors by gradients of the same names and shapes, at the learning rate of this step."""
        for (factor, _), group in self.groups.items():
            group.step(gradients, factor * rate)

    def state(self) -> dict[str, Any]:
        """The moments of all tensors, by name; not copied."""
        return {str(number): group.state() for number, group in enumerate(self.groups.values())}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the moments."""
        for number, group in enumerate(self.groups.values()):
            group.restore(state[str(number)])


class Group(Stateful):
    """SGD, Adam or AdamW on stacked tensors with one rate and one decay: one fused call moves all copies, elementwise.

    Adam is that of Kingma and Ba (2015, arXiv 1412.6980), AdamW that of Loshchilov and Hutter (2019, arXiv 1711.05101).
    PyTorch's fused kernels do the arithmetic; its optimizer classes import the compiler, a second in every stage. On a
    CPU the kernels move vectors, and what is left at the end of a tensor number by number, which may round another way.
    So parameters whose copies are not whole units go to them in one padded tensor, and a copy has the same bits in a
    stack of any size.

    Args:
        settings: which one, and its constants.
        stored: what it moves, by name, `(copy, *shape)`, contiguous.
        decays: whether the settings' weight decay acts on them.
    """

    kept = ("_unpadded",)

    def __init__(self, settings: config.Optimizer, stored: Weights, *, decays: bool = True) -> None:
        self._settings, self._constants = settings, settings.model_dump(exclude={"name", "lr", "betas", "decay"})
        if not decays:
            self._constants["weight_decay"] = 0.0
        stored = {name: tensor.detach() for name, tensor in stored.items()}
        self._odd = [name for name, tensor in stored.items() if not tensor.is_cuda and tensor[0].numel() % UNIT]
        self._names = [name for name in stored if name not in self._odd]
        self._own = [stored[name] for name in self._odd]
        whole = [stored[name] for name in self._names]
        packed, self._values = _padded(self._own)
        self._packed_gradients, self._gradients = _padded(self._own)
        self._tensors = [*whole, *packed]
        self._moments: list[list[Tensor]] = []
        self._unpadded: Weights = {}  # the same moments, for a checkpoint
        adam = ("mean", "mean_square")
        for moment in adam if isinstance(settings, config.Adam) else ("velocity",) * bool(settings.momentum):
            fresh, (padded, views) = [torch.zeros_like(tensor) for tensor in whole], _padded(self._own)
            self._moments.append([*fresh, *padded])
            names = [f"{moment} of {name}" for name in (*self._names, *self._odd)]
            self._unpadded |= zip(names, [*fresh, *views], strict=True)
        if isinstance(settings, config.Adam):
            self._constants |= dict(zip(("beta1", "beta2"), settings.betas, strict=True))
            self._unpadded["steps"] = torch.zeros((), device=self._tensors[0].device)

    def step(self, gradients: Weights, rate: float) -> None:
        """Move the tensors by gradients of the same names and shapes, at the learning rate of this step."""
        if self._odd:
            torch._foreach_copy_(self._values, self._own)
            torch._foreach_copy_(self._gradients, [gradients[name] for name in self._odd])
        # a kernel on a CPU goes by places in memory, whatever the strides
        given = [*(gradients[name].contiguous() for name in self._names), *self._packed_gradients]
        constants = {**self._constants, "lr": rate, "maximize": False}
        if isinstance(self._settings, config.SGD):
            (velocity,) = self._moments or [[]]
            torch._fused_sgd_(self._tensors, given, velocity, dampening=0.0, is_first_step=False, **constants)
        else:
            self._unpadded["steps"] += 1
            times = [self._unpadded["steps"]] * len(self._tensors)
            kernel = torch._fused_adamw_ if self._settings.name == "adamw" else torch._fused_adam_
            mean, mean_square = self._moments
            kernel(self._tensors, given, mean, mean_square, [], times, amsgrad=False, **constants)
        if self._odd:
            torch._foreach_copy_(self._own, self._values)


def _padded(tensors: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """One tensor of zeros `(copy, number)` with room for all of these, if there are any; and a view for each."""
    if not tensors:
        return [], []
    sizes = [-(-tensor[0].numel() // UNIT) * UNIT for tensor in tensors]
    room = tensors[0].new_zeros(len(tensors[0]), sum(sizes))
    parts = zip(room.split(sizes, 1), tensors, strict=True)
    return [room], [part[:, : own[0].numel()].view(own.shape) for part, own in parts]


def check_warm_up(schedule: config.Schedule, steps: int, where: str) -> None:
    """Refuse, with an `AssayError` that begins with `where`, a phase of `steps` that never reaches the full rate."""
    if schedule.warmup_steps >= steps:
        raise AssayError(
            f"{where} has {steps} steps, no more than the schedule's warmup_steps ({schedule.warmup_steps}), so that "
            "its full learning rate is never reached; make it longer, or lower schedule.warmup_steps"
        )


def rate_factor(schedule: config.Schedule, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at a step, from 0; a warm-up reaches the full rate at `warmup_steps`.

    The schedule spans `steps`, more than the warm-up, of a training or a phase; a cosine reaches `final` at their end.
    """
    if step < schedule.warmup_steps:
        return (step + 1) / (schedule.warmup_steps + 1)
    if isinstance(schedule, config.Step):
        return schedule.factor ** sum(step >= at for at in schedule.at)
    if isinstance(schedule, config.Cosine):
        progress = (step - schedule.warmup_steps) / (steps - schedule.warmup_steps)
        return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * progress)) / 2
    return 1.0
