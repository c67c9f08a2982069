"""From weights to predictions: members combined, votes counted, memory bounded, divergence refused."""

import itertools
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score
from torch import nn

from assay.core.errors import AssayError
from assay.data.sets.prepared import Split
from assay.models.artifact import Artifact, Combine, Manifest, ModelRecord, Variant, combine
from assay.scoring import metrics, predict
from assay.scoring.predict import disagreement

SEEDS, EXAMPLES, CLASSES, PIXELS = 2, 40, 4, 9


def make(members: int, how: str = "mean_probability") -> Artifact:
    generator = torch.Generator().manual_seed(members)
    return Artifact(
        manifest=Manifest(
            arm="probe",
            method="sgd",
            seeds=[7, 8],
            model=ModelRecord(name="linear"),
            images={"channels": 1, "height": 3, "width": 3, "classes": CLASSES},
            parameters={"train": {"precision": "float32"}},
            data_digest="0",
            variants={"ensemble": Variant(members=members, combine=how)},
        ),
        weights={
            "ensemble": {
                "1.weight": torch.randn(SEEDS, members, CLASSES, PIXELS, generator=generator),
                "1.bias": torch.randn(SEEDS, members, CLASSES, generator=generator),
            }
        },
    )


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, CLASSES))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (EXAMPLES, 1, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.randint(0, CLASSES, (EXAMPLES,), generator=torch.Generator().manual_seed(4))


def prepared(images: torch.Tensor, labels: torch.Tensor) -> SimpleNamespace:
    """Prepared data, as far as predictions need it, without a validation set."""
    return SimpleNamespace(
        test=Split(images, labels), validation=Split(images[:0], labels[:0]), mean=[100.0], std=[50.0]
    )


def logits_of(artifact: Artifact, images: torch.Tensor) -> torch.Tensor:
    """(seed, member, example, class), one plain matrix product at a time."""
    state = artifact.weights["ensemble"]
    flat = ((images.double() - 100) / 50).flatten(1).float()
    return torch.einsum("nd,smcd->smnc", flat, state["1.weight"]) + state["1.bias"][:, :, None]


@pytest.mark.parametrize("how", get_args(Combine))
@pytest.mark.parametrize("members", [1, 3])
def test_a_variant_is_its_members_combined(network, images, labels, members, how):
    artifact = make(members, how)
    found, _ = predict.of_variant(artifact, "ensemble", network, prepared(images, labels))
    expected = predict.score(combine(logits_of(artifact, images).double(), how), labels, how)
    assert (found.correct == expected.correct).all()
    assert found.confidence == pytest.approx(expected.confidence, abs=1e-6)
    assert found.nll == pytest.approx(expected.nll, abs=1e-5)
    assert found.brier == pytest.approx(expected.brier, abs=1e-6)
    assert found.correct.shape == (SEEDS, EXAMPLES)


@pytest.mark.parametrize("present", [CLASSES, CLASSES - 1, 1])
def test_metrics_by_class_are_scikit_learns_over_the_classes_of_the_test_set(network, images, labels, present):
    labels = labels % present
    answers, _ = predict.of_variant(make(3), "ensemble", network, prepared(images, labels))
    predicted = logits_of(make(3), images).double().softmax(-1).mean(1).argmax(-1)
    there = {"labels": list(range(present)), "zero_division": 0}
    for metric, scikit_learns in (("balanced_accuracy", recall_score), ("macro_f1", f1_score)):
        expected = [scikit_learns(labels, own, average="macro", **there) for own in predicted]
        assert metrics.per_seed(metric, answers) == pytest.approx(expected)
    if present == CLASSES:
        expected = [balanced_accuracy_score(labels, own) for own in predicted]
        assert metrics.per_seed("balanced_accuracy", answers) == pytest.approx(expected)


def test_disagreement_is_the_mean_over_pairs_of_members(network, images, labels):
    artifact = make(4)
    *_, found = predict.of_variant(artifact, "ensemble", network, prepared(images, labels))
    predicted = logits_of(artifact, images).argmax(-1)
    pairs = list(itertools.combinations(range(4), 2))
    expected = [np.mean([(row[i] != row[j]).float().mean() for i, j in pairs]) for row in predicted]
    assert found["disagreement"] == pytest.approx(expected, abs=1e-6)
    assert min(found["disagreement"]) > 0


def test_one_member_has_nobody_to_disagree_with(network, images, labels):
    *_, found = predict.of_variant(make(1), "ensemble", network, prepared(images, labels))
    assert found == {}


def test_members_that_agree_have_no_disagreement():
    assert disagreement(torch.tensor([[[3, 0], [0, 3]]])).tolist() == [[0.0, 0.0]]


def test_members_run_one_at_a_time(network, images, labels, monkeypatch):
    sizes = []

    def spy(network, weights, *rest):
        sizes.append({len(tensor) for tensor in weights.values()})
        return original(network, weights, *rest)

    original = predict.predict
    monkeypatch.setattr(predict, "predict", spy)
    predict.of_variant(make(5), "ensemble", network, prepared(images, labels))
    assert sizes == [{SEEDS}] * 5


def test_a_part_at_a_time_gives_what_all_at_once_does(network, images, labels, monkeypatch):
    def run():
        return predict.of_variant(make(3), "ensemble", network, prepared(images, labels))

    (whole, *about_whole), _ = run(), monkeypatch.setattr(predict, "CELLS", SEEDS * 3 * CLASSES * 7)
    parts, *about_parts = run()
    assert (whole.correct == parts.correct).all()
    assert parts.nll == pytest.approx(whole.nll, abs=1e-6)
    assert about_parts == about_whole


def test_a_vote_without_a_voice_for_the_label_has_a_finite_loss():
    shares = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]], dtype=torch.float64)
    found = predict.score(shares, torch.tensor([1, 1]), "majority_vote")
    assert found.nll[0].tolist() == pytest.approx([-np.log(torch.finfo(torch.float32).eps), np.log(2)], rel=1e-5)
    assert np.isfinite(metrics.per_seed("nll", found)).all()
    assert found.correct[0].tolist() == [0, 0]  # a tie goes to the lowest class


def test_a_probability_that_underflows_keeps_its_loss():
    probabilities = torch.tensor([[[-200.0, 0.0]]], dtype=torch.float64).softmax(-1)
    found = predict.score(probabilities, torch.tensor([0]), "mean_probability")
    assert found.nll[0, 0] == pytest.approx(200, rel=1e-5)


def test_a_certain_answer_has_a_loss_of_zero():
    probabilities = torch.full((1, 1, 2), 0.5, dtype=torch.float64)
    probabilities[..., 0] += 0.5 + 1e-15
    assert predict.score(probabilities, torch.tensor([0]), "mean_probability").nll[0, 0] == 0


def test_a_diverged_network_is_named(network, images, labels):
    artifact = make(2)
    artifact.weights["ensemble"]["1.bias"][1, 0, 0] = float("nan")
    with pytest.raises(AssayError, match=r"models/probe: ensemble of seed 8 puts out NaN.*learning rate"):
        predict.of_variant(artifact, "ensemble", network, prepared(images, labels))
