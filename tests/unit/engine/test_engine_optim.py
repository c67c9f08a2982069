"""Stacked, fused updates equal PyTorch's plain ones; schedules have the shapes that their names promise."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import TypeAdapter

from assay.core import config
from assay.core.config import Constant, Cosine, Step
from assay.engine.optim import Optimizer, rate_factor

PLAIN = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "sgd", "lr": 0.1},
        {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"name": "adam", "lr": 0.01, "weight_decay": 0.1},
        {"name": "adamw", "lr": 0.01, "weight_decay": 0.1, "betas": [0.8, 0.9]},
    ],
    ids=lambda settings: settings["name"] + ("+" if len(settings) > 3 else ""),
)
def test_a_stacked_update_equals_the_plain_optimizer_on_each_copy(settings):
    start, gradients = torch.randn(3, 4, 5), torch.randn(6, 3, 4, 5)
    stacked = start.clone()
    optimizer = Optimizer(TypeAdapter(config.Optimizer).validate_python(settings), {"weight": stacked})
    copies = [start[r].clone().requires_grad_() for r in range(3)]
    keywords = {key: value for key, value in settings.items() if key != "name"}
    plain = [PLAIN[settings["name"]]([copy], **keywords) for copy in copies]
    for step, gradient in enumerate(gradients):
        rate = settings["lr"] * (1 + step)
        optimizer.step({"weight": gradient.clone()}, rate)
        for copy, grad, own in zip(copies, gradient, plain, strict=True):
            copy.grad, own.param_groups[0]["lr"] = grad.clone(), rate
            own.step()
    torch.testing.assert_close(stacked, torch.stack([copy.detach() for copy in copies]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_gradient_may_lie_in_memory_in_another_order(name, device):
    """Convolutions give gradients with channels last; PyTorch's kernels on a CPU go by places in memory."""
    settings = TypeAdapter(config.Optimizer).validate_python({"name": name, "lr": 0.1})
    gradient = torch.randn(2, 4, 8, 3, 3, device=device)
    last = gradient.movedim(-3, -1).contiguous().movedim(-1, -3)
    moved = []
    for one in (gradient, last):
        weights = {"kernel": torch.ones_like(gradient, memory_format=torch.contiguous_format)}
        Optimizer(settings, weights).step({"kernel": one.clone()}, 0.1)
        moved.append(weights["kernel"])
    assert not last.is_contiguous()
    assert torch.equal(*moved)


def test_constant_stays():
    assert {rate_factor(Constant(name="constant"), step, 10) for step in range(10)} == {1.0}


def test_step_falls_at_its_steps():
    schedule = Step(name="step", at=(2, 4), factor=0.1)
    factors = [rate_factor(schedule, step, 6) for step in range(6)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_starts_at_one_is_half_way_at_half_time_and_ends_at_final():
    schedule = Cosine(name="cosine", final=0.2)
    assert rate_factor(schedule, 0, 100) == 1
    assert rate_factor(schedule, 50, 100) == pytest.approx(0.6)
    assert rate_factor(schedule, 100, 100) == pytest.approx(0.2)
    assert rate_factor(schedule, 25, 100) == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)


@pytest.mark.parametrize("schedule", [Constant(name="constant", warmup_steps=4), Cosine(name="cosine", warmup_steps=4)])
def test_warm_up_rises_in_equal_steps_to_the_full_rate(schedule):
    factors = [rate_factor(schedule, step, 10) for step in range(5)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
