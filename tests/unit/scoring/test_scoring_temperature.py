"""Temperature scaling: the least loss on validation, each seed by itself, and what becomes of test predictions."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from assay.data.sets.prepared import Split
from assay.models.artifact import Artifact, Manifest, ModelRecord, Variant
from assay.scoring import metrics, predict, predictions, temperature

EXAMPLES, CLASSES = 300, 6


@pytest.fixture
def drawn():
    """Logits of three seeds whose labels are drawn from their own softmax, then made 2, 1 and 0.5 times as large."""
    generator = torch.Generator().manual_seed(0)
    honest = 2 * torch.randn(EXAMPLES, CLASSES, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(honest.softmax(-1), 1, generator=generator)[:, 0]
    return torch.stack([2 * honest, honest, 0.5 * honest]).log_softmax(-1), labels


def loss(logs, labels, own: float) -> float:
    return float(nn.functional.cross_entropy(logs / own, labels))


def test_the_temperature_has_the_least_loss_on_validation(drawn):
    logs, labels = drawn
    found = [temperature.fit(each, labels) for each in logs]
    for own, each in zip(found, logs, strict=True):
        best = minimize_scalar(lambda one, each=each: loss(each, labels, one), bounds=(0.1, 10), method="bounded")
        assert own == pytest.approx(best.x, abs=1e-4)
        assert loss(each, labels, own) <= best.fun + 1e-12
    assert found[0] == pytest.approx(4 * found[2])  # four times the logits
    assert 0.8 < found[1] < 1.25  # an honest network is left nearly as it is


def test_a_validation_set_without_an_error_ends_at_a_bound():
    logs = torch.tensor([[0.0, -3.0], [-3.0, 0.0]], dtype=torch.float64).log_softmax(-1)
    cold, hot = (temperature.fit(logs, torch.tensor(labels)) for labels in ([0, 1], [1, 0]))
    assert (cold, hot) == pytest.approx((temperature.LEAST, temperature.MOST), rel=1e-6)


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, CLASSES))


def variant(how: str, members: int) -> Artifact:
    generator = torch.Generator().manual_seed(members)
    weights = {"1.weight": 3 * torch.randn(2, members, CLASSES, 4, generator=generator),
               "1.bias": torch.randn(2, members, CLASSES, generator=generator)}  # fmt: skip
    images = {"channels": 1, "height": 2, "width": 2, "classes": CLASSES}
    manifest = Manifest(
        arm="probe", method="sgd", seeds=[7, 8], model=ModelRecord(name="linear"), images=images, data_digest="0",
        parameters={"train": {"precision": "float32"}}, variants={"last": Variant(members=members, combine=how)},
    )  # fmt: skip
    return Artifact(manifest=manifest, weights={"last": weights})


def from_seed(made: Artifact, first: int) -> Artifact:
    """The same with the seeds from this index on."""
    weights = {"last": {name: tensor[first:] for name, tensor in made.weights["last"].items()}}
    return Artifact(manifest=made.manifest.model_copy(update={"seeds": made.manifest.seeds[first:]}), weights=weights)


def logits_of(made: Artifact, images: torch.Tensor) -> torch.Tensor:
    """Of the first member: (seed, example, class), a plain matrix product."""
    weights = made.weights["last"]
    flat = ((images.double() - 100) / 50).flatten(1).float()
    return torch.einsum("nd,scd->snc", flat, weights["1.weight"][:, 0]) + weights["1.bias"][:, 0][:, None]


def data(held_out: int) -> SimpleNamespace:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (EXAMPLES, 1, 2, 2), dtype=torch.uint8, generator=generator)
    logits = logits_of(variant("mean_probability", 1), images)[0].double()
    labels = torch.multinomial((logits / 3).softmax(-1), 1, generator=generator)[:, 0]  # the first seed is too sure
    test, validation = Split(images[100:], labels[100:]), Split(images[:held_out], labels[:held_out])
    return SimpleNamespace(test=test, validation=validation, mean=[100.0], std=[50.0])


@pytest.mark.parametrize(
    ("how", "members"), [("mean_probability", 1), ("mean_probability", 3), ("mean_logit", 3), ("majority_vote", 3)]
)
def test_scaling_leaves_every_answer_and_what_there_was_before(network, how, members):
    scaled, found = predict.of_variant(variant(how, members), "last", network, data(100))
    plain, without = predict.of_variant(variant(how, members), "last", network, data(0))
    for field in ("correct", "confidence", "nll", "brier", "predicted", "labels"):
        assert (getattr(scaled, field) == getattr(plain, field)).all()
    assert len(found["temperature"]) == 2
    assert found.keys() - without.keys() == {"temperature"}
    assert not metrics.has("scaled_ece", plain)
    alone = from_seed(variant(how, members), 1)
    assert predict.of_variant(alone, "last", network, data(100))[1]["temperature"] == found["temperature"][1:]
    assert min(found["temperature"]) > 1
    for metric in ("nll", "brier", "ece"):
        before, after = (metrics.per_seed(name, scaled) for name in (metric, f"scaled_{metric}"))
        assert (after < before).all()


def test_one_network_is_scaled_as_guo_and_others_do(network):
    artifact, given = variant("mean_probability", 1), data(100)
    found, about = predict.of_variant(artifact, "last", network, given)
    logits, held_out = (logits_of(artifact, split.images).double() for split in (given.test, given.validation))
    assert 2 < about["temperature"][0] < 5
    for seed, own in enumerate(about["temperature"]):
        best = minimize_scalar(
            lambda one, seed=seed: loss(held_out[seed], given.validation.labels, one),
            bounds=(0.1, 10),
            method="bounded",
        )
        assert own == pytest.approx(best.x, abs=1e-3)
        losses = nn.functional.cross_entropy(logits[seed] / own, given.test.labels, reduction="none")
        assert found.scaled_nll[seed] == pytest.approx(losses.numpy(), abs=1e-4)


def test_a_file_without_the_new_fields_is_read(tmp_path: Path):
    rows = np.ones((2, 3), np.float32)
    old = predictions.Predictions(rows.astype(np.uint8), rows, rows, rows)
    new = replace(old, labels=np.arange(3, dtype=np.uint16), predicted=np.ones((2, 3), np.uint16))
    for made in (old, new):
        digest = predictions.write(tmp_path / "a.safetensors", {"last": made, "line": old})
        found = predictions.read(tmp_path / "a.safetensors", ["last", "line"], digest, tmp_path)
        assert found["last"].arrays().keys() == made.arrays().keys()
        assert found["line"].predicted is None
        assert found["last"].correct.dtype == np.uint8


def test_the_label_is_among_the_five_most_probable_classes():
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(2, 40, 21, generator=generator, dtype=torch.float64)
    shares[0, 0] = 1.0  # all equal: the lowest classes are first
    labels = torch.randint(0, 21, (40,), generator=generator)
    labels[0] = 5
    found = predict.score(shares, labels, "mean_probability")
    expected = (shares.topk(5).indices == labels[:, None]).any(-1)
    assert (found.top_5[:, 1:] == expected[:, 1:].numpy()).all()
    assert found.top_5[0, 0] == 0
    assert 0.1 < metrics.per_seed("top_5", found).mean() < 0.5
    assert (found.top_5 >= found.correct).all()
    assert predict.score(shares[..., :20], labels.clamp_max(19), "mean_probability").top_5 is None
