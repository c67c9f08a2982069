"""Sparse files: smaller by what was pruned, and back to the same bits; sparse networks: the same logits."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from assay import models
from assay.core.errors import AssayError
from assay.data.sets.images import Images
from assay.models import sparse

GREY, COLOUR = Images(1, 28, 28, 10), Images(3, 32, 32, 10)


def pruned(name, images, density):
    torch.manual_seed(0)
    network = models.build(name, images)
    for weight in models.weight_names(network):
        tensor = network.get_parameter(weight)
        with torch.no_grad():
            tensor.mul_(torch.rand_like(tensor) < density)
    return network.eval()


@pytest.mark.parametrize(("name", "images"), [("lenet_300_100", GREY), ("resnet_20", COLOUR)])
def test_a_network_comes_back_bit_for_bit_and_so_do_its_logits(name, images, tmp_path):
    network = pruned(name, images, 0.2)
    sparse.write(tmp_path / "net.safetensors", network.state_dict())
    back = sparse.read(tmp_path / "net.safetensors")
    assert list(back) == list(network.state_dict())
    for key, tensor in network.state_dict().items():
        assert (back[key].dtype, back[key].shape) == (tensor.dtype, tensor.shape)
        assert back[key].numpy().tobytes() == (tensor + 0).numpy().tobytes()  # + 0 takes the sign from a zero
    other = models.build(name, images).eval()
    other.load_state_dict(back, strict=True)
    inputs = torch.randn(5, *images.shape)
    assert torch.equal(other(inputs), network(inputs))


@pytest.mark.parametrize("density", [1.0, 0.5, 0.17, 0.036])
def test_the_file_shrinks_with_the_density(density, tmp_path):
    network = pruned("lenet_300_100", GREY, density)
    sparse.write(tmp_path / "net.safetensors", network.state_dict())
    weights, biases = 266_200, 410
    expected = weights * min(4.0, 4 * density + 1 / 8) + 4 * biases
    assert abs((tmp_path / "net.safetensors").stat().st_size - expected) < 2000 + 4 * weights * 0.005


def test_equal_networks_give_equal_bytes():
    state = pruned("linear", GREY, 0.3).state_dict()
    assert len({sparse.encoded(state) for _ in range(8)}) == 1  # safetensors orders metadata at random


def test_odd_values_types_and_shapes_survive(tmp_path):
    odd = torch.tensor([0.0, float("nan"), *[0.0] * 70, float("-inf")])
    state = {"w": odd, "n": torch.tensor(3), "zero": torch.zeros(4, 16), "half": odd.to(torch.bfloat16).float()}
    sparse.write(tmp_path / "f", state)
    back = sparse.read(tmp_path / "f")
    assert {k: v.numpy().tobytes() for k, v in back.items()} == {k: v.numpy().tobytes() for k, v in state.items()}
    assert back["n"].shape == ()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "not found"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "damaged"),
        (lambda path: path.write_bytes(b"no"), "damaged"),
        (
            lambda path: save_file({"w": torch.zeros(2)}, path),
            "not a sparse network: its metadata does not name the format",
        ),
    ],
)
def test_a_file_that_is_not_one_is_named(damage, message, tmp_path):
    path = tmp_path / "net.safetensors"
    sparse.write(path, {"w": torch.zeros(64)})
    damage(path)
    with pytest.raises(AssayError, match=rf"^.*net.safetensors: {message}"):
        sparse.read(path)


@pytest.mark.parametrize(("name", "images"), [("lenet_300_100", GREY), ("conv_2", Images(1, 8, 8, 4))])
def test_a_sparse_network_gives_the_same_logits(name, images):
    network = pruned(name, images, 0.17)
    inputs = torch.randn(7, *images.shape)
    dense = network(inputs)
    skipping = sparse.sparse_network(network)
    assert sum(isinstance(module, sparse.SparseLinear) for module in skipping.modules()) == 3
    torch.testing.assert_close(skipping(inputs), dense, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(skipping(inputs[:1]), dense[:1], rtol=1e-4, atol=1e-5)
