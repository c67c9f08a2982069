"""Networks of timm and torchvision from a file of weights: what is loaded, what is fresh, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from assay import models
from assay.core import files
from assay.core.config import Model
from assay.core.errors import AssayError
from assay.data.sets.images import Images
from assay.models import fitting, nets
from tests import pretrained
from tests.pretrained import CLASSES, weights  # noqa: F401

GREY, COLOUR = Images(1, 32, 32, 4), Images(3, 32, 32, CLASSES)
RESNET, VIT = "test_resnet", "test_vit"


def build(images, architecture=RESNET, seed=0, **arguments):
    torch.manual_seed(seed)
    given = pretrained.model(architecture).arguments | arguments
    return models.build("timm", images, **given)


def complaint(images=COLOUR, **arguments):
    with pytest.raises(AssayError) as caught:
        fitting.check("timm", images, {"architecture": RESNET, **arguments})
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("params.yaml: model.")


def test_all_is_loaded_but_a_head_of_other_classes(weights):  # noqa: F811
    state = weights(RESNET)
    same, one, other = build(COLOUR), build(GREY, seed=0), build(GREY, seed=1)
    assert all(torch.equal(tensor, state[name]) for name, tensor in same.state_dict().items())
    assert nets.source_of(same).state.keys() == state.keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]) == (name not in ("fc.weight", "fc.bias")), name
        if name not in ("fc.weight", "fc.bias", "conv1.0.weight"):
            assert torch.equal(tensor, state[name]), name
    assert torch.allclose(one.state_dict()["conv1.0.weight"], state["conv1.0.weight"].sum(1, keepdim=True))
    assert "fc.weight" not in nets.source_of(one).state


def test_a_file_without_a_head_gets_a_fresh_one(weights):  # noqa: F811
    state = weights(RESNET)
    save_file({n: t for n, t in state.items() if not n.startswith("fc.")}, f"weights/{RESNET}.safetensors")
    assert not torch.equal(build(COLOUR, seed=0).fc.weight, build(COLOUR, seed=1).fc.weight)


def test_positions_are_fitted_to_the_size_of_the_images(weights):  # noqa: F811
    weights(VIT)
    network = fitting.check("timm", Images(3, 48, 32, 3), pretrained.model(VIT).arguments)
    assert network(torch.zeros(2, 3, 48, 32)).shape == (2, 3)


def test_weights_are_read_once_a_process(weights, monkeypatch):  # noqa: F811
    weights(RESNET)
    read, load = [], nets.load_file
    monkeypatch.setattr(nets, "load_file", lambda path: read.append(path) or load(path))
    for seed in range(3):
        build(GREY, seed=seed)
    assert len(read) == 1
    weights(RESNET)  # the same bytes at another time: read again
    build(GREY)
    assert len(read) == 2


def test_normalisation_is_that_of_the_weights(weights):  # noqa: F811
    weights("test_efficientnet")
    grey, colour = (nets.source_of(build(images, "test_efficientnet")) for images in (GREY, COLOUR))
    assert colour.mean == pytest.approx((123.675, 116.28, 103.53))
    assert grey.mean == pytest.approx((sum(colour.mean) / 3,))
    own = nets.source_of(build(COLOUR, "test_efficientnet", mean=[0.5], std=[0.1, 0.2, 0.3]))
    assert own.mean == (127.5,) * 3
    assert own.std == pytest.approx((25.5, 51.0, 76.5))


def test_a_pickle_gives_tensors_alone(weights):  # noqa: F811
    state = weights(RESNET)
    torch.save({"epoch": 3, "state_dict": state}, "weights/own.pth")
    network = build(COLOUR, weights="weights/own.pth")
    assert torch.equal(network.fc.weight, state["fc.weight"])
    torch.save(network, "weights/whole.pt")
    assert "weights/whole.pt: cannot be read (it holds more than tensors)" in complaint(weights="weights/whole.pt")


def test_weights_that_do_not_fit_are_refused_in_a_line(weights):  # noqa: F811
    state = weights(RESNET)
    weights(VIT)
    assert "the file lacks conv1.0.weight, " in complaint(weights=f"weights/{VIT}.safetensors")
    del state["bn1.bias"]
    state["layer1.0.conv1.weight"] = state["layer1.0.conv1.weight"][:1].clone()
    save_file({**state, "odd": torch.zeros(1)}, "weights/odd.safetensors")
    line = complaint(weights="weights/odd.safetensors")
    assert line.startswith("weights: not of this network: the file lacks bn1.bias; unexpectedly holds odd; has another")
    assert line.endswith("shape of layer1.0.conv1.weight")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"architecture": "resnet8"}, "architecture: timm has no 'resnet8'; did you mean resnet18"),
        ({"architecture": "resnet18.nobody"}, "architecture: Invalid pretrained tag (nobody)"),
        ({"weights": "own.safetensors"}, "weights: own.safetensors is not in the folder weights/"),
        ({"weights": "weights/../own.pt"}, "weights: weights/../own.pt is not in the folder weights/"),
        ({"weights": "weights/own.npz"}, "weights: weights/own.npz is no .safetensors, .pt or .pth"),
        ({"weights": "weights/none.pt"}, "weights: weights/none.pt: not found"),
        ({"weights": "weights/none.pt", "pretrained": True}, "weights: stands beside `pretrained: true`"),
        ({"mean": [0.5]}, "mean: has no effect on a network from scratch"),
        ({"arguments": {"in_chans": 1}}, "arguments.in_chans: the data decides it"),
        ({"arguments": {"depth": 1}}, "arguments: timm cannot build test_resnet for these images: ResNet.__init__()"),
        ({"architecture": "vit_tiny_patch16_224"}, "architecture: takes patches of 16×16 pixels, which 28×28 images"),
    ],
)
def test_arguments_that_cannot_be(arguments, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = Images(3, 28, 28, 4) if "vit" in arguments.get("architecture", "") else COLOUR
    assert complaint(images, **arguments).startswith(line)


def test_without_a_hub_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    line = complaint(pretrained=True)
    assert line.startswith("pretrained: timm/test_resnet.r160_in1k/model.safetensors cannot be fetched from https://")
    assert "`weights: weights/<file>.safetensors`" in line


def test_the_digest_is_of_source_and_weights(weights):  # noqa: F811
    weights(RESNET)
    model = pretrained.model(RESNET)
    before = models.digest(model)
    assert models.digest(Model(name="timm", architecture=RESNET)) == files.file_digest(models.NETS / "timm_nets.py")
    files.write_json(Path(models.DIGESTS), {"networks": {"own": before}})
    models.verify("own", model)
    weights(RESNET, classes=3)
    assert models.digest(model) != before
    with pytest.raises(AssayError, match=r"or weights/test_resnet\.safetensors: edited since the stage register ran"):
        models.verify("own", model)
    Path("weights/test_resnet.safetensors").unlink()
    with pytest.raises(AssayError, match=r"^params\.yaml: model\.weights: .*: not found"):
        models.digest(model)


def test_dropout_that_is_a_function_is_seen():
    network = fitting.check("timm", COLOUR, {"architecture": RESNET, "arguments": {"drop_rate": 0.2}})
    assert models.draws_random_numbers(network)
    for arguments, draws in (({}, False), ({"drop_path_rate": 0.2}, True)):
        assert models.draws_random_numbers(build_fresh(arguments)) == draws


def build_fresh(arguments):
    return models.build("timm", COLOUR, architecture=VIT, arguments=arguments)


@pytest.fixture
def torchvision_file(tmp_path, monkeypatch):
    from torchvision.models import get_model

    monkeypatch.chdir(tmp_path)
    Path("weights").mkdir()
    torch.manual_seed(3)
    state = get_model("mobilenet_v3_small", num_classes=CLASSES).state_dict()
    save_file(state, "weights/mobile.safetensors")
    return state


def test_torchvision_from_a_file(torchvision_file):
    given = {"architecture": "mobilenet_v3_small", "weights": "weights/mobile.safetensors"}
    same = fitting.check("torchvision", COLOUR, given)
    assert nets.source_of(same).state.keys() == torchvision_file.keys()
    grey = fitting.check("torchvision", GREY, given).state_dict()
    assert torch.allclose(grey["features.0.0.weight"], torchvision_file["features.0.0.weight"].sum(1, keepdim=True))
    assert torch.equal(grey["classifier.0.weight"], torchvision_file["classifier.0.weight"])
    with pytest.raises(AssayError, match=r"model\.weights: not of this network: the file lacks conv1\.weight, "):
        fitting.check("torchvision", COLOUR, {**given, "architecture": "resnet18"})


def test_an_own_network_may_be_pretrained(torchvision_file):
    """Whatever file builds it: `nets.pretrained` marks it, so that methods and the manifest know."""
    from torchvision.models import get_model

    path = nets.weights_path("weights/mobile.safetensors")
    state, digest = nets.read_weights(path)
    network = get_model("mobilenet_v3_small", num_classes=2)
    nets.pretrained(network, nets.Source(digest, (1.0, 2.0, 3.0), (4.0,), state), 3)
    source = nets.source_of(network)
    assert (source.mean, source.std) == ((1.0, 2.0, 3.0), (4.0, 4.0, 4.0))
    assert source.sha256 == files.file_digest(path)
