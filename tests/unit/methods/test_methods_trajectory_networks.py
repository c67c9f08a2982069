"""Networks in pairs: what the sampler computes is what the plain modules compute, on examples drawn anew each time."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional as F

from assay.core.config import Model
from assay.core.runtime import generator
from assay.data.sets.augment import normalise
from assay.engine.context import TrainContext
from assay.engine.stack.layers import split_prefix
from assay.methods import trajectory
from assay.methods.trajectory.pairs import DenseNetworks, NetworkPairs, StackedNetworks

MLP = Model(name="mlp", hidden=[6, 5], pool=2)


@pytest.fixture
def start(make_run, data):
    """Two networks of each of two chains, with biases to tell apart, and all that runs them."""

    def make(model: Model = MLP):
        context = TrainContext(make_run(seeds=(3, 4), model=model), data)
        network, parameters, _ = context.fresh((0, 1, 2, 3))
        drawn = {n: t + 0.1 * torch.randn(t.shape, generator=generator(0, n)) for n, t in parameters.items()}
        return context, network, {n: t.view(2, 2, *t.shape[1:]) for n, t in drawn.items()}

    return make


def plain(network, weights, data, labels):
    """Cross-entropy (test, 2, example) over the whole training set, by the plain module."""
    inputs = normalise(data.train.images, data.mean, data.std)
    rows = []
    for test in range(2):
        logits = [functional_call(network, {n: w[test, side] for n, w in weights.items()}, inputs) for side in (0, 1)]
        rows.append(torch.stack([F.cross_entropy(each, labels[test], reduction="none") for each in logits]))
    return torch.stack(rows)


def labels_of(data):
    """The same for two chains."""
    return data.train.labels.repeat(2, 1)


def networks_of(network, data, *, dense=True):
    return DenseNetworks(*split_prefix(network), data, centred=False) if dense else StackedNetworks(network, data)


@pytest.mark.parametrize(("model", "dense"), [(MLP, True), (MLP, False), (Model(name="trajectory_cnn"), False)])
def test_losses_are_those_of_the_plain_module(start, data, model, dense):
    _, network, weights = start(model)
    labels = torch.stack([data.train.labels, data.train.labels.flip(0)])
    expected = plain(network, weights, data, labels)
    networks = networks_of(network, data, dense=dense)
    pairs = NetworkPairs(networks, weights, labels, [generator(s, "x") for s in (0, 1)], 16)
    for side in (0, 1):
        whole = pairs.whole(torch.tensor([0, 1]), side)[0]
        torch.testing.assert_close(whole, expected[:, side].double().mean(1), rtol=1e-5, atol=1e-6)
    tests, counts = torch.tensor([0, 0, 1]), torch.tensor([16, 8, 16])
    found = pairs.sample(tests, counts)
    first, second = (
        torch.randint(len(data.train.labels), (n,), generator=generator(c, "x")) for c, n in ((0, 24), (1, 16))
    )
    for place, (test, drawn) in enumerate(zip((0, 0, 1), (first[:16], first[16:], second), strict=True)):
        old, new = expected[test][:, drawn].double()
        sums = torch.stack([(new - old).pow(power).sum() for power in (1, 2, 3)])
        torch.testing.assert_close(found.change[:, place], sums, rtol=1e-4, atol=1e-4)
        assert found.loss[place].item() == pytest.approx(old.sum().item(), rel=1e-5)


@pytest.mark.parametrize("dense", [True, False])
def test_a_chain_gets_the_same_bits_in_any_company(start, data, dense):
    _, network, weights = start()
    labels, networks = labels_of(data), networks_of(network, data, dense=dense)
    together = NetworkPairs(networks, weights, labels, [generator(s, "x") for s in (0, 1)], 16)
    found = together.sample(torch.tensor([0, 0, 1, 1]), torch.tensor([16, 48, 16, 16]))
    whole = together.whole(torch.tensor([0, 1]), 1)
    for chain, places in ((0, [0, 1]), (1, [2, 3])):
        own = {name: tensor[chain : chain + 1] for name, tensor in weights.items()}
        alone = NetworkPairs(networks, own, labels[:1], [generator(chain, "x")], 16)
        assert torch.equal(alone.sample(torch.tensor([0, 0]), found.count[places]).change, found.change[:, places])
        assert torch.equal(alone.whole(torch.tensor([0]), 1), whole[:, chain : chain + 1])


def test_accuracy_is_the_old_models(start, data):
    _, network, weights = start()
    pairs = NetworkPairs(networks_of(network, data), weights, labels_of(data), [generator(0, "x")] * 2, 16)
    inputs = normalise(data.train.images, data.mean, data.std)
    logits = functional_call(network, {n: w[1, 0] for n, w in weights.items()}, inputs)
    share = (logits.argmax(-1) == data.train.labels).double().mean()
    assert pairs.whole(torch.tensor([0, 1]), 0)[1, 1].item() == pytest.approx(share.item())


def test_no_mini_batch_is_used_twice(start, data):
    """Neither by two tests, nor by two blocks of a test, nor by two looks at the same models."""
    _, network, weights = start()
    seen = []

    class Watching:
        inner = networks_of(network, data)

        def logits(self, weights, indices):
            seen.extend(tuple(row) for row in indices.tolist())
            return self.inner.logits(weights, indices)

    pairs = NetworkPairs(Watching(), weights, labels_of(data), [generator(s, "x") for s in (0, 1)], 16)
    for owners in ([0, 1], [0, 0, 1], [0, 1]):
        pairs.sample(torch.tensor(owners), torch.full((len(owners),), 16))
    assert len(set(seen)) == len(seen) == 7


@pytest.mark.parametrize("model", [Model(name="trajectory_cnn"), Model(name="vgg", widths=[[4]], batch_norm=False)])
def test_networks_that_are_no_chain_of_dense_layers_have_no_prefix(start, model):
    assert split_prefix(start(model)[1]) is None


def made(make_run, data, **options):
    run = make_run(method="trajectory", model=MLP, options=options, seeds=(0, 1))
    return trajectory.update(TrainContext(run, data), trajectory.Options(**options))


def test_centring_and_scales_change_how_a_chain_moves_and_not_what_a_network_computes(make_run, data):
    as_they_are = made(make_run, data, tau=3)
    moved = made(make_run, data, tau=3, centre=True, layer_scale={"output": 0.3})
    for name, tensor in as_they_are.variants()["ensemble"].weights.items():
        torch.testing.assert_close(moved.variants()["ensemble"].weights[name], tensor, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(moved.theta, as_they_are.theta)
    assert moved._networks.inputs.mean(0).abs().max() < 1e-5
    step = moved.step(0)  # the sampler sees centred inputs: its losses are those of the networks that leave
    logits = functional_call(
        as_they_are.network,
        {n: w[0, 0] for n, w in as_they_are.variants()["ensemble"].weights.items()},
        normalise(data.train.images, data.mean, data.std),
    )
    loss = F.cross_entropy(logits, data.train.labels).item()
    assert step.losses[0].mean().item() == pytest.approx(loss, rel=1e-3)  # block > 96 examples: the exact test


def test_a_walk_spreads_a_chain_and_copies_do_not(make_run, data):
    walk = made(make_run, data, tau=4, start="walk", sigma=0.2).theta
    copies = made(make_run, data, tau=4, sigma=0.2).theta
    assert torch.equal(walk[:, 0], copies[:, 3])
    assert walk.diff(dim=1).std().item() == pytest.approx(0.2, rel=0.05)
    assert not torch.equal(walk[0].diff(dim=0), walk[1].diff(dim=0))
