"""Ordered SGD and Selective-Backprop: which examples of a batch count, and what the others are billed as."""

from __future__ import annotations

import pytest
import torch

from assay import methods
from assay.core import config
from assay.core.errors import AssayError
from assay.engine.context import TrainContext
from assay.methods import checks
from assay.methods.ordered_sgd import TopQ
from assay.methods.selective_backprop import Selective

LABELS = torch.arange(60) % 4
ALL = slice(0, 2)


def steps(make_run, data, method, options, count=6):
    update = methods.make_update(TrainContext(make_run(method=method, options=options), data))
    for step in range(count):
        update.step(step)
    return update


def test_the_q_largest_losses_count_equally_and_of_equal_ones_the_first():
    losses = torch.tensor([[1.0, 5, 3, 4], [2, 2, 2, 2]])
    expected = torch.tensor([[0, 0.5, 0, 0.5], [0.5, 0.5, 0, 0]])
    assert torch.equal(TopQ(LABELS, [0, 1], 4, 2).weigh(losses, ALL), expected)


def test_what_ordered_sgd_leaves_out_is_billed_as_forward_only(make_run, data):
    cost = steps(make_run, data, "ordered_sgd", {"q": 5}).counters.cost()
    assert (cost.train_samples, cost.forward_samples, cost.optimizer_steps) == (6 * 5, 6 * 11, 6)


def test_the_gradient_is_that_of_the_chosen_examples_alone(make_run, data, moved):
    context = TrainContext(make_run(method="ordered_sgd", options={"q": 5}), data)
    update = methods.make_update(context)
    indices = update.batches.select(0, update._score)
    losses = update._score(indices, update.batches.labels(indices))
    hardest = indices.gather(1, losses.topk(5, 1).indices)
    only = update.stack.gradients(
        update.stored, update.buffers, update.loader.batch(hardest, 0), update.batches.labels(hardest)
    )
    gradients, _ = moved(update)
    for name, gradient in only.by_name.items():
        torch.testing.assert_close(gradients[name], gradient)


@pytest.mark.parametrize(("method", "options"), [("ordered_sgd", {"q": 16}), ("selective_backprop", {"beta": 0.0})])
def test_with_every_example_it_is_the_baseline(make_run, data, method, options):
    """Up to rounding: a mean and a sum of sixteenths are not the same arithmetic."""
    own, plain = steps(make_run, data, method, options), steps(make_run, data, "sgd", {})
    for name, tensor in plain.evaluated().items():
        torch.testing.assert_close(own.evaluated()[name], tensor, rtol=1e-4, atol=1e-5)
    assert own.counters.cost() == plain.counters.cost()


@pytest.mark.parametrize("q", [0, -3, 2.5])
def test_a_q_below_one_is_refused_by_name(make_run, q):
    with pytest.raises(AssayError, match=r"arms\.probe\.q: got "):
        methods.resolve(make_run(method="ordered_sgd", options={"q": q}))


@pytest.mark.parametrize("q", [60, 61])
def test_a_q_of_the_whole_batch_is_refused_before_anything_trains(q):
    params = config.Params.model_validate(
        {
            "seeds": [0],
            "data": {"name": "digits", "validation": 200},
            "model": {"name": "linear"},
            "train": {"steps": 9, "batch_size": 60, "optimizer": {"name": "adam", "lr": 0.1}, "evaluate_every": 9},
            "arms": {"top": {"method": "ordered_sgd", "q": q}},
        }
    )
    with pytest.raises(AssayError, match=rf"params\.yaml: arms\.top\.q: {q} leaves out none of the 60 examples of a b"):
        checks.check(params)


def test_the_probability_is_the_share_of_recent_losses_that_are_no_larger_to_the_power_beta():
    batches = Selective(LABELS, [0, 1], 2, beta=2.0, history=3)
    one = torch.tensor([[1.0, 2], [4, 4]])
    assert torch.equal(batches.probabilities(one, ALL), torch.tensor([[0.25, 1], [1, 1]]))
    for losses in (one, torch.tensor([[3.0, 4], [0, 9]])):
        batches.observe(0, one.long(), losses)
    # the last three of the copies: 2, 3, 4 and 4, 0, 9
    two = torch.tensor([[2.5, 0.5], [4, 10]])
    expected = torch.tensor([[3 / 5, 1 / 5], [3 / 5, 1]]) ** 2
    torch.testing.assert_close(batches.probabilities(two, ALL), expected)
    torch.testing.assert_close(batches.probabilities(two[1:], slice(1, 2)), expected[1:])


def test_about_one_in_beta_plus_one_is_back_propagated_and_the_rest_is_billed_as_forward_only(make_run, data):
    for beta in (1.0, 2.0):
        cost = steps(make_run, data, "selective_backprop", {"beta": beta, "history": 48}, count=60).counters.cost()
        assert cost.train_samples + cost.forward_samples == 60 * 16
        assert cost.optimizer_steps == 60
        # a little less while losses fall, since the recent ones are then larger
        assert cost.train_samples / (60 * 16) == pytest.approx(1 / (beta + 1), abs=0.1)


def test_hard_examples_are_drawn_more_often_by_each_copy_for_itself():
    batches = Selective(LABELS, [0, 1], 20, beta=1.0, history=20)
    losses = torch.arange(20.0).expand(2, -1)
    drawn = torch.zeros(2, 20)
    for step in range(300):
        batches.select(step, None)
        coefficients = batches.weigh(losses, ALL)
        torch.testing.assert_close(coefficients.sum(1), torch.ones(2))
        drawn += coefficients > 0
    torch.testing.assert_close(drawn / 300, (torch.arange(20.0) + 1).expand(2, -1) / 20, rtol=0, atol=0.1)
    assert not torch.equal(drawn[0], drawn[1])
    batches.select(7, None)
    assert torch.equal(batches.weigh(losses, ALL)[1:], batches.weigh(losses[1:], slice(1, 2)))


def test_where_no_example_is_drawn_the_hardest_stands_in():
    batches = Selective(LABELS, [0], 2, beta=1000.0, history=4)
    batches.observe(0, LABELS[None, :2], torch.tensor([[8.0, 9.0]]))
    batches.select(1, None)
    assert torch.equal(batches.weigh(torch.tensor([[2.0, 3.0]]), slice(0, 1)), torch.tensor([[0.0, 1.0]]))
