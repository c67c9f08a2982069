"""A subspace in the second seam: what a step does to its endpoints, and what is left of them."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional as F

from assay import methods, models
from assay.core.config import PARAMS_FILE, Model
from assay.core.errors import AssayError
from assay.data.sets.augment import normalise
from assay.engine import batch_norm
from assay.engine.context import TrainContext
from assay.methods import subspace
from tests.conftest import make_data

CNN = Model(name="vgg", widths=[[4], [4]], batch_norm=True)
MLP = Model(name="mlp", hidden=[6])


@pytest.fixture
def make(make_run, data):
    """The update of an arm at its start; `data` has 96 examples."""

    def make(model=MLP, data=data, seeds=(0, 1), **options):
        run = make_run(method="subspace", model=model, options=options, seeds=seeds)
        return methods.make_update(TrainContext(run, data))

    return make


def points_of(update, step):
    return update.parametrisation._draw(step)


@pytest.mark.parametrize("model", [MLP, CNN], ids=["dense", "convolutions and batch norm"])
@pytest.mark.parametrize(
    "options",
    [
        {"shape": "line", "beta": 0.0},
        {"shape": "line", "beta": 1.5},
        {"shape": "curve", "beta": 1.5},
        {"shape": "simplex", "endpoints": 4, "beta": 1.5, "layerwise": True},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_the_gradient_of_each_endpoint_is_that_of_the_whole_loss(make, data, moved, model, options):
    """Autograd through a plain network at the point, plus the regulariser written as the paper does."""
    update = make(model, **options)
    start = {name: tensor.clone() for name, tensor in update.stored.items()}
    gradients, _ = moved(update)
    coefficients, pairs = points_of(update, 0)
    indices = update.batches.select(0, None)
    layers = update.parametrisation._layers
    network = models.build(model.name, data.images, **model.arguments).train()
    weight_names = list(models.weight_names(network))
    for copy in (0, 1):
        leaves = {name: tensor[copy].clone().requires_grad_() for name, tensor in start.items()}
        rows = {n: coefficients[copy, layers.index(n.rpartition(".")[0]) if len(layers) > 1 else 0] for n in leaves}
        weights = {n: torch.einsum("m,m...->...", rows[n], tensor) for n, tensor in leaves.items()}
        inputs = normalise(data.train.images[indices[copy]], data.mean, data.std)
        loss = F.cross_entropy(functional_call(network, weights, (inputs,)), update.batches.labels(indices)[copy])
        i, j = pairs[copy].triu().nonzero()[0].tolist()
        one, other = (torch.cat([leaves[name][end].flatten() for name in weight_names]) for end in (i, j))
        loss = loss + options["beta"] * (one @ other) ** 2 / (one @ one * (other @ other))
        loss.backward()
        for name, leaf in leaves.items():
            torch.testing.assert_close(gradients[name][copy], leaf.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_on_a_line_the_endpoints_share_the_gradient_as_alpha_says(make, moved):
    update = make(beta=0.0)
    gradients, _ = moved(update)
    alpha = points_of(update, 0)[0][:, 0, 1]
    for gradient in gradients.values():
        share = alpha.view(-1, *[1] * (gradient.dim() - 2))
        whole = gradient.sum(1)
        torch.testing.assert_close(gradient[:, 0], (1 - share) * whole)
        torch.testing.assert_close(gradient[:, 1], share * whole)


def test_the_regulariser_leaves_biases_and_batch_norm_alone(make, moved):
    update = make(CNN, beta=100.0)
    (with_it, _), (without, _) = moved(update), moved(make(CNN, beta=0.0))
    weight_names = set(models.weight_names(update.network))
    assert len(weight_names) < len(with_it)
    for name, gradient in with_it.items():
        assert torch.equal(gradient, without[name]) == (name not in weight_names), name


def test_every_seed_and_step_draws_its_own_point_and_a_layer_too_if_asked(make):
    update = make(seeds=(0, 1))
    coefficients = torch.stack([points_of(update, step)[0] for step in range(3)])
    assert coefficients.shape == (3, 2, 1, 2)
    assert len(coefficients.flatten(0, 1)[:, 0, 0].unique()) == 6
    layerwise = make(layerwise=True)
    assert points_of(layerwise, 0)[0].shape == (2, 2, 2)  # seeds, layers, endpoints
    assert len(points_of(layerwise, 0)[0][..., 0].unique()) == 4
    weights = layerwise.parametrisation.weights(layerwise.stored, 0)
    for name, tensor in layerwise.stored.items():  # a layer's bias goes with its weight
        row = points_of(layerwise, 0)[0][:, ["hidden_1", "output"].index(name.partition(".")[0])]
        torch.testing.assert_close(weights[name], torch.einsum("cm,cm...->c...", row, tensor.detach()))


def test_a_simplex_holds_every_pair_apart_in_its_turn(make):
    update = make(shape="simplex", endpoints=3)
    seen = {tuple(points_of(update, step)[1][0].triu().nonzero()[0].tolist()) for step in range(40)}
    assert seen == {(0, 1), (0, 2), (1, 2)}


def test_endpoints_start_independently_and_the_first_where_the_baseline_does(make, make_run, data):
    update = make(shape="simplex", endpoints=3)
    baseline = methods.make_update(TrainContext(make_run(model=MLP, seeds=(0, 1)), data))
    for name, tensor in baseline.stored.items():
        assert torch.equal(update.stored[name][:, 0], tensor)
    flat = torch.cat([update.stored[name].detach().flatten(2) for name in models.weight_names(update.network)], 2)
    cosines = torch.nn.functional.normalize(flat.flatten(0, 1), dim=1)
    assert ((cosines @ cosines.mT) - torch.eye(6)).abs().max() < 0.4


def test_variants_are_the_middle_the_ends_and_a_pair(make):
    for options, expected in (
        ({"shape": "line"}, {"midpoint": 1, "ensemble": 2, "pair": 2}),
        ({"shape": "curve"}, {"midpoint": 1, "ensemble": 2, "pair": 2}),
        ({"shape": "simplex", "endpoints": 4}, {"midpoint": 1, "ensemble": 4}),
    ):
        update = make(**options)
        found = update.variants()
        name = "output.weight"
        assert {variant: outcome.weights[name].shape[1] for variant, outcome in found.items()} == expected
        assert next(iter(found)) == "midpoint"
        stored = update.stored[name].detach()
        ends = stored[:, :2] if options["shape"] == "curve" else stored
        assert torch.equal(found["ensemble"].weights[name], ends)
        if options["shape"] == "curve":
            middle = stored[:, 0] / 4 + stored[:, 1] / 4 + stored[:, 2] / 2
        else:
            middle = stored.mean(1)
        torch.testing.assert_close(found["midpoint"].weights[name][:, 0], middle)
    pair = make(pair=0.1).variants()["pair"].weights["output.weight"]
    stored = make().stored["output.weight"].detach()
    torch.testing.assert_close(pair[:, 0], 0.9 * stored[:, 0] + 0.1 * stored[:, 1])
    torch.testing.assert_close(pair[:, 1], 0.1 * stored[:, 0] + 0.9 * stored[:, 1])


def test_a_pass_for_batch_norm_is_billed_to_the_networks_that_need_it(make):
    for model, passes in ((CNN, 96), (MLP, 0)):
        found = make(model).variants()
        assert {n: o.prior_cost.forward_samples for n, o in found.items()} == {
            "midpoint": passes,
            "ensemble": 2 * passes,
            "pair": 2 * passes,
        }


def test_each_point_has_statistics_of_its_own_whatever_was_evaluated_before(make):
    update = make(CNN)
    for step in range(3):
        update.step(step)
    running = {name: tensor.clone() for name, tensor in update.buffers.items()}
    first = update.variants()
    update.sweeps(), update.evaluated()
    again = update.variants()
    for variant, outcome in first.items():
        for name, tensor in outcome.weights.items():
            assert torch.equal(tensor, again[variant].weights[name]), (variant, name)
    name = "block_1.norm_1.running_mean"
    middle, ends = first["midpoint"].weights[name], first["ensemble"].weights[name]
    assert not torch.equal(ends[:, 0], ends[:, 1])
    assert not torch.equal(middle[:, 0], running[name])
    assert all(torch.equal(tensor, update.buffers[name]) for name, tensor in running.items())


def test_the_sweep_of_a_line_takes_its_ends_from_the_ensemble_and_a_curve_keeps_its_bend(make):
    line, curve = make(CNN).sweeps()["line"], make(CNN, shape="curve").sweeps()["curve"]
    assert line.sweep.axis == "alpha"
    assert line.sweep.at == [round(step / 20, 2) for step in range(21)]
    assert (line.sweep.tensors, line.points) == ("ensemble", None)
    assert curve.sweep.tensors == "curve.points"
    assert curve.points["output.weight"].shape[:2] == (2, 3)
    assert line.buffers["block_1.norm_1.running_var"].shape == (2, 21, 4)
    assert make(shape="simplex").sweeps() == {}
    assert make(MLP).sweeps()["line"].buffers == {}


def test_a_sweep_takes_the_statistics_of_a_look_and_a_variant_those_of_the_training_set(make, monkeypatch):
    """A pass over the training set for each of a sweep's networks would take longer than the training."""
    monkeypatch.setattr(subspace, "EXAMPLES_FOR_CURVES", 32)
    update, name = make(CNN), "block_1.norm_1.running_mean"
    weights = {key: tensor[:, 0] for key, tensor in update.variants()["midpoint"].weights.items()}
    settings = update.network, weights, update.buffers, update.parametrisation._context.data, 16
    whole, look = (batch_norm.recomputed(*settings, examples=examples)[name] for examples in (None, 32))
    assert not torch.allclose(whole, look)
    assert torch.equal(weights[name], whole)
    assert torch.equal(update.sweeps()["line"].buffers[name][:, 10], look)


def test_the_record_says_how_far_apart_the_endpoints_are(make):
    update = make(shape="simplex", endpoints=3)
    update.variants()
    flat = torch.cat([update.stored[name].detach().flatten(2) for name in models.weight_names(update.network)], 2)
    expected = [sum((own[i] - own[j]).norm() for i, j in ((0, 1), (0, 2), (1, 2))).item() / 3 for own in flat]
    assert update.record()["distance"] == pytest.approx(expected, abs=1e-3)
    assert all(0 <= value < 0.1 for value in update.record()["squared_cosine"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beta": -1.0}, "beta: got -1.0"),
        ({"shape": "simplex", "endpoints": 1}, "endpoints: got 1"),
        ({"shape": "line", "endpoints": 4}, "endpoints: got 4; only a simplex takes it, not a line"),
        ({"pair": 1.2}, "pair: got 1.2"),
        ({"pair": -0.1}, "pair: got -0.1"),
        ({"shape": "circle"}, "shape: got 'circle'"),
    ],
)
def test_bad_options_are_refused_by_name(make_run, options, said):
    with pytest.raises(AssayError, match=rf"^{PARAMS_FILE}: arms\.probe\.{said}"):
        methods.resolve(make_run(method="subspace", options=options))


def test_augmentation_does_not_reach_the_statistics(make):
    clear, augmented = (make(CNN, make_data(channels=1, augment=kind)) for kind in ("none", "crop_flip"))
    name = "block_1.norm_1.running_mean"
    assert torch.equal(clear.variants()["midpoint"].weights[name], augmented.variants()["midpoint"].weights[name])
