"""What each method means with pretrained weights: where its networks start, and with which normalisation they run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from assay import methods, models
from assay.core.errors import AssayError
from assay.data.sets.augment import normalise
from assay.engine.checkpoint import Scratch
from assay.engine.context import TrainContext
from assay.engine.loop import Curves
from assay.models import artifact, nets
from assay.scoring import predict
from tests.conftest import make_data
from tests.contract.test_contract_methods import FIRST_ROUND
from tests.pretrained import CLASSES, model, weights  # noqa: F401

RESNET, HEAD = "test_resnet", ("fc.weight", "fc.bias")


@pytest.fixture
def state(weights):  # noqa: F811
    return weights(RESNET)


def data(classes=4):
    return make_data(examples=24, side=16, channels=3, classes=classes)


def updated(make_run, method="sgd", own=None, **changes):
    run = make_run(**{"method": method, "model": model(RESNET), "seeds": (0, 1), "batch_size": 8, **changes})
    given = data() if own is None else own
    methods.resolve(run).check(given.images, 24)
    return methods.make_update(TrainContext(run, given))


def test_seeds_share_the_backbone_and_differ_in_the_head(make_run, state):
    stored = updated(make_run).stored
    for name, tensor in stored.items():
        assert torch.equal(tensor[0], tensor[1]) == (name not in HEAD), name
        assert name in HEAD or torch.equal(tensor[0], state[name]), name


def test_members_of_a_deep_ensemble_differ_in_head_and_order(make_run, state):
    update = updated(make_run, "deep_ensemble")
    assert torch.equal(update.stored["conv1.0.weight"][0], update.stored["conv1.0.weight"][1])
    assert not torch.equal(update.stored["fc.weight"][0], update.stored["fc.weight"][1])
    first, second, *_ = update.batches.select(0, None)
    assert not torch.equal(first, second)


def test_endpoints_start_near_the_pretrained_weights_each_with_its_head(make_run, state):
    stored = updated(make_run, "subspace", options={"shape": "simplex", "noise": 0.1}).stored
    weight = stored["layer1.0.conv1.weight"]
    assert all(torch.equal(weight[copy, 0], state["layer1.0.conv1.weight"]) for copy in range(2))
    for copy, end in ((0, 1), (0, 2), (1, 1), (1, 2)):
        away = weight[copy, end] - weight[copy, 0]
        assert away.std().item() == pytest.approx(0.1 * weight[copy, 0].std().item(), rel=0.1)
    assert not torch.allclose(weight[0, 1], weight[0, 2])
    assert not torch.allclose(weight[0, 1], weight[1, 1])
    assert torch.equal(stored["bn1.weight"][:, 0], stored["bn1.weight"][:, 1])  # scales of norms start as they are
    assert not torch.allclose(stored["fc.weight"][:, 0], stored["fc.weight"][:, 1])
    less = updated(make_run, "subspace", options={"shape": "simplex"}).stored["layer1.0.conv1.weight"]
    torch.testing.assert_close(less - weight[:, :1], (weight - weight[:, :1]) / 2)  # 0.05 unless given


def test_endpoints_share_what_is_frozen(make_run, state):
    run = make_run(method="subspace", model=model(RESNET), seeds=(0,), batch_size=8)
    run = run.model_copy(update={"train": run.train.model_copy(update={"backbone_lr": 0.0})})
    update = methods.make_update(TrainContext(run, data()))
    for step in range(2):
        update.step(step)
    for name, tensor in update.stored.items():
        assert torch.equal(tensor[:, 0], tensor[:, 1]) == (name not in HEAD), name


def test_endpoints_that_coincide_are_refused_and_noise_without_weights(make_run, state):
    with pytest.raises(AssayError, match=r"arms\.probe\.noise: 0, and the head is pretrained too, so all endpoints"):
        updated(make_run, "subspace", data(CLASSES), options={"noise": 0.0})
    updated(make_run, "subspace", options={"noise": 0.0})  # heads of their own
    run = make_run(method="subspace", model=model(RESNET), options={"noise": 0.1})
    run = run.model_copy(update={"train": run.train.model_copy(update={"backbone_lr": 0.0})})
    with pytest.raises(AssayError, match=r"arms\.probe\.noise: the backbone, which all endpoints share, is frozen"):
        methods.resolve(run).check(data().images, 24)
    with pytest.raises(AssayError, match=r"arms\.probe\.noise: is for pretrained weights, and linear has none"):
        updated(make_run, "subspace", model={"name": "linear"}, options={"noise": 0.1})


def lottery(make_run, given, sha256=None):
    shared = {"model": model(RESNET), "seeds": (0, 1), "batch_size": 8, "steps": 2, "evaluate_every": 2}
    base = TrainContext(make_run(arm="baseline", **shared), given)
    dense = methods.make_update(base)
    for step in range(2):
        dense.step(step)
    baseline = base.artifact(dense, Curves(()))
    if sha256:
        record = baseline.manifest.model.model_copy(update={"weights_sha256": sha256})
        changed = baseline.manifest.model_copy(update={"model": record})
        baseline = baseline.model_copy(update={"manifest": changed})
    options = {**FIRST_ROUND, "prune_fraction": {"conv": 0.2}, "controls": ["reinit", "random"]}
    run = make_run(arm="round-1", method="lottery", options=options, **shared)
    return methods.make_update(TrainContext(run, given, {"baseline": baseline}))


def test_a_ticket_goes_back_to_the_pretrained_weights_and_its_control_to_fresh_ones(make_run, state):
    update = lottery(make_run, data())
    name = "layer2.0.conv1.weight"
    ticket, reinit, random = update.stored[name].unflatten(0, (3, 2))
    for started in (ticket, random):
        for seed in range(2):
            left = started[seed] != 0
            assert torch.equal(started[seed][left], state[name][left])
            assert 0.75 < left.float().mean() < 0.85
    assert torch.isin(reinit[reinit != 0], state[name]).float().mean() < 0.01  # by chance
    assert torch.equal(reinit != 0, ticket != 0)
    fresh = update.stored["bn1.weight"].unflatten(0, (3, 2))[1]
    assert torch.equal(fresh, torch.ones_like(fresh))


def test_a_round_refuses_a_baseline_from_other_weights(make_run, state):
    with pytest.raises(AssayError, match="models/baseline: trained with other weights"):
        lottery(make_run, data(), "0" * 64)


def test_all_passes_have_the_normalisation_of_the_weights(make_run, weights, tmp_path):  # noqa: F811
    """Of training, looks at the validation set and evaluation; `data` itself says another one."""
    weights("test_efficientnet")
    given = data()
    run = make_run(model=model("test_efficientnet"), seeds=(0,), batch_size=8, steps=2, evaluate_every=2)
    with Scratch("probe", 0, torch.device("cpu"), tmp_path) as scratch:
        trained, done = methods.resolve(run).train(given, scratch)
    manifest = trained.manifest
    assert manifest.model.weights_sha256 == nets.read_weights(nets.weights_path(run.model.arguments["weights"]))[1]
    own = manifest.moments(given)
    assert own == (pytest.approx((123.675, 116.28, 103.53)), pytest.approx((58.395, 57.12, 57.375)))
    network = manifest.network().eval()
    assert nets.source_of(network) is None
    network.load_state_dict(artifact.state_dict(trained, "last", 0))
    with torch.no_grad():
        expected = network(normalise(given.validation.images, *own)).log_softmax(-1)
    loss = torch.nn.functional.nll_loss(expected, given.validation.labels).item()
    assert manifest.variants["last"].validation_loss == [pytest.approx(loss, abs=1e-5)]
    assert done.curves.rows[-1][4] == pytest.approx(loss, abs=1e-5)
    found, _ = predict.of_variant(trained, "last", network, given)
    with torch.no_grad():
        answers = network(normalise(given.test.images, *own)).softmax(-1)
    torch.testing.assert_close(torch.from_numpy(found.confidence)[0], answers.max(-1).values, atol=1e-5, rtol=1e-4)
    plain = replace(given, mean=own[0], std=own[1])
    assert predict.of_variant(trained, "last", network, plain)[0].nll.tolist() == found.nll.tolist()


def test_the_operations_of_attention_are_counted():
    """Twice the products of a block's four linear layers, and those of its two batched products."""
    image, side = data().images, 3 * 16 * 16
    forward, both = models.operations("timm", replace(image, height=32, width=32), {"architecture": "test_vit"})
    network = models.blueprint("timm", replace(image, height=32, width=32), {"architecture": "test_vit"})
    width, tokens, blocks = network.embed_dim, 5, len(network.blocks)
    hidden = network.blocks[0].mlp.fc1.out_features
    per_block = tokens * (4 * width**2 + 2 * width * hidden) + 2 * tokens**2 * width
    expected = 2 * (4 * side * width + blocks * per_block + width * image.classes)
    assert forward == expected
    assert 2.5 * forward < both < 3.6 * forward
