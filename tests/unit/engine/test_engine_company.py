"""A copy has the same bits in a stack of any size: whom it trains beside is not for its numbers to tell.

On one thread, as all tests run. With more, MKL shares a matrix among threads where a stack has fewer copies than there
are threads, and rounds otherwise (`docs/decisions/0001`).
"""

from __future__ import annotations

import pytest
import torch

from assay import methods
from assay.core.config import SGD, Adam, Model
from assay.engine.context import TrainContext
from assay.engine.stack import Stack

ADAM = Adam(name="adam", lr=0.01)
ADAMW = Adam(name="adamw", lr=0.01, weight_decay=0.1)
MOMENTUM = SGD(name="sgd", lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
ODD = Model(name="mlp", hidden=[13, 7])  # no parameter is a whole number of vectors long
CNN = Model(name="vgg", widths=[[3], [5]], batch_norm=True)
LARGEST = 11


@pytest.mark.parametrize(
    ("model", "optimizer", "method", "strategy"),
    [
        (ODD, ADAM, "sgd", "dense"),
        (ODD, MOMENTUM, "sgd", "dense"),
        (ODD, ADAM, "sgd", "folded"),
        (ODD, ADAMW, "subspace", "dense"),
        (CNN, ADAM, "sgd", "sliced"),
        (CNN, MOMENTUM, "sgd", "folded"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_a_copy_is_the_same_in_a_stack_of_any_size(make_run, data, model, optimizer, method, strategy):
    def trained(copies):
        run = make_run(model=model, optimizer=optimizer, method=method, seeds=tuple(range(100, 100 + copies)))
        update = methods.make_update(TrainContext(run, data))
        update.stack = Stack(update.network, copies, update.stack.device, strategy=strategy)
        for step in range(8):
            update.step(step)
        return {**update.stored, **update.buffers}

    largest = trained(LARGEST)
    for copies in range(1, LARGEST):
        for name, tensor in trained(copies).items():
            same = [torch.equal(own, other) for own, other in zip(tensor, largest[name], strict=False)]
            assert all(same), f"{name}, {copies} copies: {same}"


def test_what_an_optimizer_keeps_outlives_a_kill_also_where_it_is_padded(make_run, data):
    run = make_run(model=ODD, optimizer=ADAM)
    whole, cut = (methods.make_update(TrainContext(run, data)) for _ in range(2))
    for step in range(6):
        whole.step(step)
        if step == 2:
            cut.restore(whole.state())
        if step > 2:
            cut.step(step)
    assert all(torch.equal(cut.stored[name], tensor) for name, tensor in whole.stored.items())
