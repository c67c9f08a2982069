"""What holds on every device: the same bits twice, and but for rounding the same results as on the CPU."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from assay import models
from assay.data.sets.images import Images
from assay.data.sets.prepared import Split
from assay.engine.stack import Stack, initialise
from assay.engine.stack.cuda_graph import PASSES_BEFORE
from assay.models import draws_random_numbers
from assay.scoring import predict
from tests.conftest import CPU, DEVICES, make_data
from tests.contract.test_contract_methods import ARMS, train

COLOUR = Images(3, 32, 32, 10)
ARGUMENTS = {
    "mlp": {"hidden": [16, 8]},
    "vgg": {"widths": [[8, 8], [16]], "batch_norm": True},
    "timm": {"architecture": "test_vit", "arguments": {"drop_path_rate": 0.2}},
    "torchvision": {"architecture": "resnet18"},
}
LARGE = ("resnet50", "efficientnet_b4", "efficientnet_v2_s")  # a CPU takes seconds, and their layers are the others'
GPUS = [device for device in DEVICES if device != CPU]
CASES = [
    (device, name, "float32") for device in DEVICES for name in models.names() if device != CPU or name not in LARGE
]
CASES += [(device, name, "bfloat16") for device in GPUS for name in models.names()]
beyond_the_cpu = pytest.mark.skipif(not GPUS, reason="there is no GPU on this machine to compare with the CPU")


@pytest.mark.parametrize(("device", "name", "precision"), CASES, ids=str)
def test_every_model_gives_the_same_bits_at_every_pass(device, name, precision):
    build = partial(models.build, name, COLOUR, **ARGUMENTS.get(name, {}))
    network, parameters, buffers = initialise(build, [0, 1], device)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 4, *COLOUR.shape, generator=generator).to(device)
    labels = torch.randint(0, COLOUR.classes, (2, 4), generator=generator).to(device)
    randomness = [5, 6] if draws_random_numbers(network) else None
    stack = Stack(network, 2, device, precision)
    first, moved_first = None, {}
    for _ in range(PASSES_BEFORE + 3):  # a GPU replays from the fourth on
        moved = {key: tensor.clone() for key, tensor in buffers.items()}
        found = stack.gradients(parameters, moved, inputs, labels, randomness=randomness)
        if first is None:
            first, moved_first = replace(found, by_name={k: t.clone() for k, t in found.by_name.items()}), moved
        assert torch.equal(found.losses, first.losses)
        for key, gradient in found.by_name.items():
            assert gradient.isfinite().all(), key
            assert torch.equal(gradient, first.by_name[key]), key
        for key, tensor in moved.items():
            assert torch.equal(tensor, moved_first[key]), key


@pytest.fixture(params=["sgd", "sgd with batch norm", "line", "trajectory"], ids=lambda name: name.replace(" ", "-"))
def arm(request, make_run):
    """A run, and how its data is augmented."""
    return make_run(**ARMS[request.param], steps=6), "crop_flip" if "norm" in request.param else "none"


@pytest.fixture(params=GPUS or [CPU], ids=str)
def gpu(request):
    return request.param


def trained_on(arm, device, folder):
    run, augment = arm
    data = make_data(augment=augment, device=device)
    return data, train(run, data, folder)


@beyond_the_cpu
def test_it_trains_as_the_cpu_does(arm, gpu, tmp_path):
    """Randomness is drawn alike everywhere, so only rounding tells the devices apart."""
    (_, (one, curves)), (_, (other, others)) = (trained_on(arm, each, tmp_path) for each in (gpu, CPU))
    for row, expected in zip(curves.curves.rows, others.curves.rows, strict=True):
        assert row[:4] == expected[:4]
        assert row[4] == pytest.approx(expected[4], rel=1e-2)
    assert one.manifest.variants.keys() == other.manifest.variants.keys()


@beyond_the_cpu
def test_it_is_evaluated_as_on_the_cpu(arm, gpu, tmp_path):
    data, (trained, _) = trained_on(arm, gpu, tmp_path)
    manifest = trained.manifest

    def evaluated(where):
        network = models.build(manifest.model.name, data.images, **manifest.model.arguments).to(where)
        there = replace(data, test=Split(data.test.images.to(where), data.test.labels.to(where)))
        variants = {name: predict.of_variant(trained, name, network, there) for name in manifest.variants}
        return variants, {name: predict.of_sweep(trained, name, network, there) for name in manifest.sweeps}

    (variants, along), (expected, expected_along) = evaluated(gpu), evaluated(CPU)
    for name, (found, about) in variants.items():
        assert found.nll == pytest.approx(expected[name][0].nll, rel=1e-3, abs=1e-5)
        assert about.get("ensemble_sizes") == expected[name][1].get("ensemble_sizes")
    for name, path in along.items():
        assert np.array(path.nll) == pytest.approx(np.array(expected_along[name].nll), rel=1e-3, abs=1e-5)
