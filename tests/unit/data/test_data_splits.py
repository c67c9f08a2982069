from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.config import Data
from assay.core.errors import AssayError
from assay.data.splits import choose, told

SPLITS = ("train", "validation", "test")


def asked(**keys):
    return Data(name="folder", side=8, **{"validation": 0, **keys})


def names(labels):
    return [f"c{label}" for label in range(max(labels) + 1)]


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2), st.booleans()), min_size=8, max_size=40),
    shares=st.tuples(st.floats(0.05, 0.3), st.floats(0.05, 0.3)),
    seed=st.integers(0, 5),
)
def test_no_group_is_in_two_splits_and_every_image_in_one(groups, shares, seed):
    labels = np.array([(label + n * mixed) % 3 for size, label, mixed in groups for n in range(size)])
    of_group = np.array([number for number, (size, _, _) in enumerate(groups) for _ in range(size)])
    order = np.random.default_rng(seed).permutation(len(labels))
    labels, of_group = labels[order], of_group[order]
    data = asked(test=max(1, int(shares[0] * len(labels))), validation=int(shares[1] * len(labels)), split_seed=seed)
    try:
        chosen = choose(labels, data, ("a", "b", "c"), of_group)
    except AssayError:  # of large groups
        return
    assert tuple(chosen) == SPLITS
    assert sorted(np.concatenate(list(chosen.values())).tolist()) == list(range(len(labels)))
    found = [set(of_group[chosen[split]].tolist()) for split in SPLITS]
    assert sum(map(len, found)) == len(set().union(*found)) == len(groups)
    assert set(labels[chosen["train"]].tolist()) == set(labels.tolist())
    again = choose(labels, data, ("a", "b", "c"), of_group)
    assert all(np.array_equal(again[split], chosen[split]) for split in SPLITS)


def test_small_groups_give_the_sizes_and_shares_that_were_asked_for(capsys):
    random = np.random.default_rng(0)
    sizes = random.integers(1, 6, 300)
    labels, groups = np.repeat(random.integers(0, 3, 300), sizes), np.repeat(np.arange(300), sizes)
    chosen = choose(labels, asked(test=180, validation=90), names(labels), groups)
    for split, count in (("test", 180), ("validation", 90)):
        assert abs(len(chosen[split]) - count) <= 2
        own = np.bincount(labels[chosen[split]])
        assert np.abs(own - np.bincount(labels) * count / len(labels)).max() <= 3
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"data.test: 180: {len(chosen['test'])} images of ")
    other = choose(labels, asked(test=180, validation=90, split_seed=1), names(labels), groups)
    assert set(other["test"]) != set(chosen["test"])


def test_groups_larger_than_a_class_s_share_are_held_out_too():
    labels, groups = np.repeat(np.arange(50), 100), np.arange(5000) // 5
    chosen = choose(labels, asked(test=50), names(labels), groups)
    assert len(chosen["test"]) == 50
    assert np.bincount(labels[chosen["test"]]).max() <= 10


@pytest.mark.parametrize(("groups", "count"), [([0] * 6 + [1] * 6, 3), ([0, 1, 2] * 4, 1)])
def test_groups_of_which_none_can_be_held_out_are_one_line(groups, count):
    labels = np.repeat([0, 1], 6)
    line = (
        rf"^params.yaml: data.test: got {count}; no group is small enough for it and leaves each class an image [^\n]+$"
    )
    with pytest.raises(AssayError, match=line):
        choose(labels, asked(test=count), ("cat", "dog"), np.array(groups))


def test_test_and_validation_are_disjoint_and_drawn_apart():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    chosen = choose(labels, asked(test=20, validation=10), names(labels))
    assert [np.bincount(labels[chosen[split]]).tolist() for split in SPLITS] == [[35, 21, 14], [5, 3, 2], [10, 6, 4]]
    assert len(set(np.concatenate(list(chosen.values())).tolist())) == 100
    assert set(chosen["test"]) != set(choose(labels, asked(validation=20), names(labels))["validation"])


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"test": 8}, r"data.test: got 8; it must be less than the 8"),
        ({"test": 5, "validation": 3}, r"data.validation: got 3; with data.test: 5 it must be less than the 8"),
        ({"test": 7}, r"data.test: got 7; at most 6 of the 8 training images can be held out"),
        ({"test": 4, "validation": 3}, r"data.validation: got 3; at most 2 of the 4 training images can be held out"),
    ],
)
def test_what_cannot_be_held_out_is_one_line(keys, line):
    with pytest.raises(AssayError, match=rf"^params.yaml: {line}[^\n]*$"):
        choose(np.repeat([0, 1], 4), asked(**keys), ("cat", "dog"))


def test_what_a_test_set_tells_is_what_a_simulation_finds():
    said = told({"train": 90, "test": 45})
    assert said.startswith("images: train 90, test 45; ")
    assert "± 9.2 points (95 %)" in said
    assert said.endswith("± 29 at worst")
    random = np.random.default_rng(0)
    differ = random.choice([-1, 0, 1], p=[0.05, 0.9, 0.05], size=(20_000, 45)).mean(1)
    assert np.quantile(np.abs(differ), 0.95) == pytest.approx(1.96 * math.sqrt(0.1 / 45), rel=0.05)
