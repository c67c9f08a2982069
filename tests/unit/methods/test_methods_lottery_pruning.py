"""Pruning: exactly as many weights as the paper says, ties included, and the smallest of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay import models
from assay.data.sets.images import Images
from assay.methods.lottery import left_after, pools, prune
from assay.models import weight_names

MNIST, CIFAR = Images(1, 28, 28, 10), Images(3, 32, 32, 10)
LENET, CONV, CONV_6 = {"linear": 0.2, "output": 0.1}, {"conv": 0.1, "linear": 0.2, "output": 0.1}, {}
CONV_6 = {**CONV, "conv": 0.15}
# percent of weights left after a round: arXiv 1803.03635, figures 1 to 6 and the text on them
PAPER = {
    "lenet_300_100": (
        MNIST,
        LENET,
        dict(enumerate([80.0, 64.1, 51.3, 41.1, 32.9, 26.3, 21.1, 16.9, 13.5, 10.8, 8.7, 6.95, 5.6, 4.5, 3.6], 1)),
    ),
    "conv_2": (CIFAR, CONV, {3: 51.4, 6: 26.5, 9: 13.7, 11: 8.8, 14: 4.6}),
    "conv_4": (CIFAR, CONV, {11: 11.1, 12: 9.2}),
    "conv_6": (CIFAR, CONV_6, {7: 26.6, 10: 15.3}),
}


def network(name, images):
    with torch.device("meta"):
        return models.build(name, images)


@pytest.mark.parametrize("name", PAPER)
def test_the_percentages_are_the_papers(name):
    images, fractions, table = PAPER[name]
    made = network(name, images)
    kinds = weight_names(made)
    total = sum(made.get_parameter(weight).numel() for weight in kinds)
    for rounds, percent in table.items():
        left = sum(left_after(made.get_parameter(w).numel(), fractions[kind], rounds) for w, kind in kinds.items())
        digits = len(str(percent).partition(".")[2])
        assert round(100 * left / total + 1e-9, digits) == percent, (rounds, 100 * left / total)


def test_a_share_is_the_decimal_number_that_is_written():
    assert left_after(1000, 0.1) == 900
    assert left_after(235_200, 0.2) == 188_160
    assert left_after(5, 0.3) == 3  # 1.5 goes to 2
    assert left_after(1000, 0.2, rounds=3) == 512


def test_layerwise_pools_are_layers_and_global_ones_are_all_layers_of_a_fraction():
    kinds = {"a": "conv", "b": "shortcut", "c": "conv", "d": "output"}
    assert pools(kinds, {"conv": 0.2, "output": 0.1}, "layerwise") == [(("a",), 0.2), (("c",), 0.2), (("d",), 0.1)]
    assert pools(kinds, {"conv": 0.2, "output": 0.1}, "global") == [(("a", "c"), 0.2), (("d",), 0.1)]
    assert pools(kinds, {"linear": 0.2}, "global") == []


def test_the_paper_prunes_resnets_convolutions_and_neither_shortcuts_nor_the_output():
    kinds = weight_names(network("resnet_20", CIFAR))
    ((pool, _),) = pools(kinds, {"conv": 0.2}, "global")
    assert len(pool) == 19
    assert not any("shortcut" in name or "output" in name for name in pool)


def everything(weights):
    return {name: torch.ones_like(tensor, dtype=torch.bool) for name, tensor in weights.items()}


@given(
    st.lists(st.integers(0, 3), min_size=4, max_size=60),
    st.data(),
)
def test_exactly_the_smallest_go_ties_included(values, data):
    weights = {"w": torch.tensor([values], dtype=torch.float32) * torch.tensor([-1.0, 1.0]).repeat(40)[: len(values)]}
    alive = {"w": torch.tensor([data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))])}
    keep = data.draw(st.integers(0, int(alive["w"].sum())))
    left = prune(weights, alive, ["w"], keep)["w"]
    assert int(left.sum()) == keep
    assert not (left & ~alive["w"]).any()
    gone = alive["w"] & ~left
    if gone.any() and left.any():
        assert weights["w"][gone].abs().max() <= weights["w"][left].abs().min()


def test_each_copy_is_pruned_by_its_own_weights():
    weights = {"w": torch.tensor([[[1.0, -4.0], [3.0, 2.0]], [[4.0, 1.0], [-2.0, 3.0]]])}
    left = prune(weights, everything(weights), ["w"], 2)["w"]
    assert left.tolist() == [[[False, True], [True, False]], [[True, False], [False, True]]]


def test_a_global_pool_takes_from_the_layers_with_small_weights():
    weights = {"small": torch.full((1, 3, 2), 0.1), "large": torch.full((1, 4), 1.0)}
    left = prune(weights, everything(weights), ["small", "large"], 5)
    assert {name: int(mask.sum()) for name, mask in left.items()} == {"small": 1, "large": 4}
