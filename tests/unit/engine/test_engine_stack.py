"""A stack of R networks computes what R networks compute, whichever strategy it runs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from assay.engine.stack import Stack, choose_layout, choose_strategy, initialise, predict
from assay.engine.stack.cuda_graph import PASSES_BEFORE
from assay.engine.stack.layers import can_fold
from assay.engine.stack.loss import cross_entropy, with_gradient
from tests.conftest import CPU


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, stride=2, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 2 * 2, 5),
    )


def without_bias() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 8 * 8, 7), nn.ReLU(), nn.Linear(7, 5, bias=False))


def written_out() -> nn.Module:
    """What `DenseLayers` knows: a prefix without parameters, three linear layers with biases, ReLUs between."""
    layers = [nn.Linear(2 * 4 * 4, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 5)]
    return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), *layers)


STRATEGIES = [
    (build, strategy) for build in (convolutional, without_bias, written_out) for strategy in ("folded", "sliced")
]
STRATEGIES.append((written_out, "dense"))


def example(copies: int, batch: int = 6, device: torch.device = CPU) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(copies, batch, 2, 8, 8, generator=generator)
    return inputs.to(device), torch.randint(0, 5, (copies, batch), generator=generator).to(device)


@pytest.mark.parametrize(("build", "strategy"), STRATEGIES)
def test_gradients_are_those_of_each_network_alone(build, strategy, device):
    network, parameters, buffers = initialise(build, [3, 4, 5], device)
    inputs, labels = example(3, device=device)
    moved = {name: tensor.clone() for name, tensor in buffers.items()}
    stacked = Stack(network, 3, device, strategy=strategy).gradients(parameters, moved, inputs, labels)
    for r in range(3):
        own = {name: tensor[r].clone().requires_grad_() for name, tensor in parameters.items()}
        own_buffers = {name: tensor[r].clone() for name, tensor in buffers.items()}
        network.train()
        logits = functional_call(network, {**own, **own_buffers}, (inputs[r],))
        gradients = torch.autograd.grad(F.cross_entropy(logits, labels[r]), list(own.values()))
        for name, gradient in zip(own, gradients, strict=True):
            torch.testing.assert_close(stacked.by_name[name][r], gradient, rtol=1e-5, atol=1e-6)
        for name, tensor in own_buffers.items():  # batch norm's running statistics moved alike
            torch.testing.assert_close(moved[name][r], tensor)
        torch.testing.assert_close(stacked.losses[r].mean(), F.cross_entropy(logits, labels[r]))
        assert torch.equal(stacked.correct[r], logits.argmax(-1) == labels[r])


@pytest.mark.parametrize(("build", "strategy"), STRATEGIES)
def test_of_class_probabilities_loss_and_gradients_are_the_mean_over_classes(build, strategy, device):
    network, parameters, buffers = initialise(build, [3, 4, 5], device)
    inputs, labels = example(3, device=device)
    others, share = labels.roll(1, 1), 0.7
    mixed = share * F.one_hot(labels, 5) + (1 - share) * F.one_hot(others, 5)
    stack, found = Stack(network, 3, device, strategy=strategy), []
    for own in (labels, others, mixed):
        for _ in range(PASSES_BEFORE + 2):  # a GPU replays from the fourth on, and records anew for another shape
            moved = {name: tensor.clone() for name, tensor in buffers.items()}
            once = stack.gradients(parameters, moved, inputs, own)
        found.append((once, {name: tensor.clone() for name, tensor in once.by_name.items()}))
    (one, first), (other, second), (both, third) = found
    torch.testing.assert_close(both.losses, share * one.losses + (1 - share) * other.losses)
    assert torch.equal(both.correct, one.correct)
    for name, gradient in third.items():
        torch.testing.assert_close(gradient, share * first[name] + (1 - share) * second[name], rtol=1e-4, atol=1e-6)


def normalised() -> nn.Module:
    """Its prefix has statistics of its own, one for each copy."""
    layers = [nn.Flatten(), nn.Linear(2 * 8 * 8, 5)]
    return nn.Sequential(nn.BatchNorm2d(2, affine=False), *layers)


@pytest.mark.parametrize(
    ("build", "precision", "strategy"),
    [
        (written_out, "float32", "dense"),
        (written_out, "bfloat16", "folded"),
        (without_bias, "float32", "folded"),
        (normalised, "float32", "folded"),
    ],
)
def test_gradients_are_written_out_of_dense_layers_with_biases_in_single_precision(build, precision, strategy):
    assert Stack(build(), 2, CPU, precision).strategy == strategy


@given(st.integers(1, 3), st.integers(1, 4), st.integers(2, 5), st.integers(0, 2**31))
def test_the_written_out_cross_entropy_is_autograds(copies, batch, classes, seed):
    source = torch.Generator().manual_seed(seed)
    logits = (8 * torch.randn(copies, batch, classes, generator=source)).requires_grad_()
    labels = torch.randint(0, classes, (copies, batch), generator=source)
    losses, gradient = with_gradient(cross_entropy, logits.detach(), labels)
    plain = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    torch.testing.assert_close(losses.flatten(), plain.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, torch.autograd.grad(plain.sum(), logits)[0], rtol=1e-5, atol=1e-6)
    shares = torch.rand(copies, batch, classes, generator=source).softmax(-1)
    losses, gradient = with_gradient(cross_entropy, logits.detach(), shares)
    plain = cross_entropy(logits, shares)
    torch.testing.assert_close(losses, plain.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, torch.autograd.grad(plain.sum(), logits)[0], rtol=1e-5, atol=1e-6)


def test_another_network_cannot_be_written_out():
    with pytest.raises(ValueError, match="this network is another"):
        Stack(convolutional(), 2, CPU, strategy="dense")


@pytest.mark.parametrize(("build", "strategy"), STRATEGIES)
def test_all_ways_agree_on_predictions(build, strategy, device):
    network, parameters, buffers = initialise(build, [0, 1], device)
    inputs, _ = example(2, device=device)
    network.eval()
    weights = {**parameters, **buffers}
    found = Stack(network, 2, device, strategy=strategy).forward(weights, inputs)
    for r in range(2):
        alone = functional_call(network, {name: tensor[r] for name, tensor in weights.items()}, (inputs[r],))
        torch.testing.assert_close(found[r], alone, rtol=1e-5, atol=1e-6)


def test_weight_gradients_are_laid_out_as_the_weights(device):
    network, parameters, buffers = initialise(written_out, [0, 1], device)
    gradients = Stack(network, 2, device, strategy="folded").gradients(parameters, buffers, *example(2, device=device))
    assert all(gradient.is_contiguous() for gradient in gradients.by_name.values())


@pytest.mark.parametrize("strategy", ["folded", "sliced"])
def test_between_layers_channels_are_last_and_outside_nothing_lies_otherwise(strategy):
    """Also where the copies' convolutions are folded, as on a GPU, and a batch norm takes them copy by copy."""
    network, parameters, buffers = initialise(convolutional, [0, 1], CPU)
    seen = []
    for module in network:
        if not isinstance(module, nn.Flatten | nn.Linear):
            module.register_forward_hook(lambda _, given, found: seen.extend([*given, found]))
    found = Stack(network, 2, CPU, strategy=strategy).gradients(parameters, buffers, *example(2))
    assert len(seen) == 2 * 5 * (2 if strategy == "sliced" else 1)
    assert all(one.is_contiguous(memory_format=torch.channels_last) and not one.is_contiguous() for one in seen)
    assert all(gradient.is_contiguous() for gradient in found.by_name.values())


@pytest.mark.parametrize(
    ("build", "device", "precision", "last"),
    [
        (convolutional, "cpu", "float32", True),
        (convolutional, "cuda", "bfloat16", True),
        (convolutional, "cuda", "float32", False),  # slower there with channels last: decision 0011
        (written_out, "cpu", "bfloat16", False),
    ],
)
def test_channels_are_last_where_layers_convolve_and_it_is_faster(build, device, precision, last):
    layout = choose_layout(build(), torch.device(device), precision)
    assert layout is (torch.channels_last if last else torch.contiguous_format)


def test_gradients_written_where_the_last_ones_were_are_as_fresh_ones(device):
    network, parameters, _ = initialise(written_out, [3, 4], device)
    stack, places = Stack(network, 2, device, strategy="dense"), set()
    for batch in (6, 3):
        inputs, labels = example(2, batch, device)
        again = stack.gradients(parameters, {}, inputs, labels).by_name
        fresh = Stack(network, 2, device, strategy="dense").gradients(parameters, {}, inputs, labels).by_name
        assert all(torch.equal(again[name], fresh[name]) for name in parameters)
        places.add(tuple(gradient.data_ptr() for gradient in again.values()))
    assert len(places) == 1
    fewer = {name: tensor[:1] for name, tensor in parameters.items()}
    alone = stack.gradients(fewer, {}, *(each[:1] for each in example(2, device=device))).by_name
    assert all(alone[name].shape == tensor.shape for name, tensor in fewer.items())


@pytest.mark.parametrize("build", [convolutional, written_out])
def test_passes_are_as_the_first_one_whatever_was_passed_before(build, device):
    """A GPU records passes over batches of one shape: nothing of what was recorded may show in the next."""
    network, parameters, buffers = initialise(build, [0, 1], device)
    stack, generator = Stack(network, 2, device), torch.Generator().manual_seed(2)
    for batch in [6] * (PASSES_BEFORE + 3) + [3, 3, 6] + [3] * (PASSES_BEFORE + 2):
        weights, moved, again = (
            {name: tensor.clone() for name, tensor in each.items()} for each in (parameters, buffers, buffers)
        )
        for name in weights:
            weights[name] += torch.randn(weights[name].shape, generator=generator).to(device)
        inputs, labels = example(2, batch, device)
        found = stack.gradients(weights, moved, inputs, labels)
        alone = Stack(network, 2, device).gradients(weights, again, inputs, labels)
        assert torch.equal(found.losses, alone.losses)
        assert torch.equal(found.correct, alone.correct)
        assert all(torch.equal(found.by_name[name], alone.by_name[name]) for name in weights)
        assert all(torch.equal(moved[name], again[name]) for name in buffers)


def test_bfloat16_runs_under_autocast_and_gives_float32_gradients_near_those_of_float32(device):
    network, parameters, buffers = initialise(written_out, [0, 1], device)
    exact = Stack(network, 2, device).gradients(parameters, buffers, *example(2, device=device))
    for strategy in ("folded", "sliced"):
        rounded = Stack(network, 2, device, "bfloat16", strategy).gradients(
            parameters, buffers, *example(2, device=device)
        )
        for name, gradient in exact.by_name.items():
            assert rounded.by_name[name].dtype == torch.float32
            torch.testing.assert_close(rounded.by_name[name], gradient, rtol=0.1, atol=0.02)
            assert not torch.equal(rounded.by_name[name], gradient)


def test_coefficients_weigh_examples_and_zeros_are_not_billed(device):
    network, parameters, buffers = initialise(written_out, [0, 1], device)
    inputs, labels = example(2, device=device)

    def hardest(losses, copies):
        return (losses == losses.max(1, keepdim=True).values).float()

    for strategy in ("dense", "folded", "sliced"):
        result = Stack(network, 2, device, strategy=strategy).gradients(parameters, buffers, inputs, labels, hardest)
        assert result.used.tolist() == [1, 1]
        for r in range(2):
            worst = int(result.losses[r].argmax())
            alone = Stack(network, 1, device, strategy=strategy).gradients(
                {k: v[r : r + 1] for k, v in parameters.items()},
                {},
                inputs[r : r + 1, worst : worst + 1],
                labels[r : r + 1, worst : worst + 1],
            )
            for name, gradient in alone.by_name.items():
                torch.testing.assert_close(result.by_name[name][r], gradient[0], rtol=1e-5, atol=1e-6)


def test_networks_that_draw_random_numbers_draw_the_same_alone_and_in_company(device):
    def dropping() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(2 * 8 * 8, 5))

    network, parameters, buffers = initialise(dropping, [0, 1, 2], device)
    assert choose_strategy(network, device, "float32") == "sliced"
    inputs, labels = example(3, device=device)
    together = Stack(network, 3, device).gradients(parameters, buffers, inputs, labels, randomness=[7, 8, 9])
    alone = Stack(network, 1, device).gradients(
        {k: v[1:2] for k, v in parameters.items()}, {}, inputs[1:2], labels[1:2], randomness=[8]
    )
    for name, gradient in alone.by_name.items():
        assert torch.equal(together.by_name[name][1], gradient[0])


def test_layers_that_folding_does_not_know_are_sliced():
    assert can_fold(convolutional())
    assert not can_fold(nn.Sequential(nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 3)))
    assert choose_strategy(without_bias(), CPU, "float32") == "folded"
    assert choose_strategy(convolutional(), CPU, "float32") == "sliced"
    assert choose_strategy(convolutional(), torch.device("cuda"), "float32") == "folded"


def test_a_copy_starts_as_the_plain_module_of_its_seed_does():
    _, three, _ = initialise(without_bias, [3, 4, 5], CPU)
    _, one, _ = initialise(without_bias, [4], CPU)
    for name in three:
        assert torch.equal(three[name][1], one[name][0])
        assert name.endswith("bias") or not torch.equal(three[name][0], three[name][1])


def test_predictions_do_not_depend_on_the_chunk(monkeypatch):
    network, parameters, buffers = initialise(written_out, [0, 1], CPU)
    images = torch.randint(0, 256, (150, 2, 8, 8), dtype=torch.uint8)
    whole = predict(network, {**parameters, **buffers}, images, [100.0, 100.0], [50.0, 60.0])
    monkeypatch.setattr("assay.engine.stack.PREDICTION_ROWS", 1)
    chunked = predict(network, {**parameters, **buffers}, images, [100.0, 100.0], [50.0, 60.0])
    assert whole.shape == (2, 150, 5)
    torch.testing.assert_close(whole, chunked, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("side", "copies", "expected"), [(224, 1, 111), (224, 3, 64), (8, 1, 4096), (8, 5, 819)])
def test_large_images_are_predicted_fewer_at_a_time(side, copies, expected, monkeypatch):
    """Small ones as ever, since the last bits of a prediction depend on how many there are."""
    sizes = []

    def see(stack, weights, inputs):
        sizes.append(inputs.shape[1])
        return inputs.flatten(2)[..., :2]

    monkeypatch.setattr(Stack, "forward", see)
    images = torch.zeros(expected + 1, 3, side, side, dtype=torch.uint8)
    predict(nn.Flatten(), {"weight": torch.zeros(copies, 1)}, images, (0.0,) * 3, (1.0,) * 3)
    assert sizes == [expected, 1]
