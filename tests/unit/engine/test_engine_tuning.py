"""A grid of learning rates: the best on validation is the arm, the rest is billed apart, and all arms have the same."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch

from assay import methods
from assay.core import config
from assay.core.config.sections import Tune
from assay.core.errors import AssayError
from assay.engine.checkpoint import Scratch
from assay.methods import checks
from tests.conftest import make_data
from tests.contract.test_contract_methods import FIRST_ROUND

GRID = (0.00001, 0.03, 0.0001)


def tuned(run, lr=GRID):
    return run.model_copy(update={"train": run.train.model_copy(update={"tune": Tune(lr=lr)})})


def at(run, lr):
    optimizer = run.train.optimizer.model_copy(update={"lr": lr})
    return run.model_copy(update={"train": run.train.model_copy(update={"optimizer": optimizer, "tune": None})})


def train(run, data, folder, parents=None):
    with Scratch("probe", run.model_dump(mode="json"), torch.device("cpu"), folder) as scratch:
        return methods.resolve(run).train(data, scratch, parents)


def equal(one, other):
    return all(
        torch.equal(tensor, other.weights[variant][name])
        for variant, state in one.weights.items()
        for name, tensor in state.items()
    )


@pytest.mark.parametrize(
    ("method", "options", "members"),
    [("sgd", {}, 1), ("subset", {"k": 3, "pretrain": 0.5}, 1), ("deep_ensemble", {"members": 2}, 2)],
)
def test_the_arm_is_the_training_at_the_best_rate_of_the_grid(make_run, data, tmp_path, method, options, members):
    run = make_run(method=method, options=options, steps=30)
    own, trained = train(tuned(run), data, tmp_path)
    singles = {lr: train(at(run, lr), data, tmp_path)[0] for lr in GRID}
    first = {lr: next(iter(one.manifest.variants.values())) for lr, one in singles.items()}
    best = max(GRID, key=lambda lr: fmean(first[lr].validation_accuracy))
    tuning = own.manifest.record["tuning"]
    assert tuning["lr"] == best == 0.03
    assert [(row["lr"], row["validation_accuracy"], row["validation_loss"]) for row in tuning["grid"]] == [
        (lr, first[lr].validation_accuracy, first[lr].validation_loss) for lr in GRID
    ]
    assert equal(own, singles[best])
    cost = next(iter(own.manifest.variants.values())).cost
    assert (cost.train_samples, cost.tuning_samples) == (30 * 16 * members, 2 * 30 * 16 * members)
    assert own.manifest.parameters["train"]["optimizer"]["lr"] == run.train.optimizer.lr  # as params.yaml has it
    assert trained.steps == 90
    assert trained.curves.copies[0][0] == "probe"


def test_of_equals_in_accuracy_the_lower_loss_is_chosen(make_run, tmp_path):
    data, run = make_data(examples=256), make_run(steps=120)
    found = train(tuned(run, (0.02, 0.05)), data, tmp_path)[0].manifest.record["tuning"]
    one, other = found["grid"]
    assert one["validation_accuracy"] == other["validation_accuracy"] == [1.0] * 3
    assert fmean(other["validation_loss"]) < fmean(one["validation_loss"])
    assert found["lr"] == 0.05


def test_a_rate_that_diverges_is_out_and_billed(make_run, data, tmp_path):
    run = make_run(model=config.Model(name="mlp", hidden=[8]), optimizer=config.SGD(name="sgd", lr=0.1))
    own, _ = train(tuned(run, (1e38, 0.01)), data, tmp_path)
    assert own.manifest.record["tuning"]["lr"] == 0.01
    assert "diverged" in own.manifest.record["tuning"]["grid"][0]["diverged"]
    assert own.manifest.variants["last"].cost.tuning_samples == 12 * 16
    with pytest.raises(AssayError, match=r"^params\.yaml: train\.tune\.lr: every training diverged; give lower rates"):
        train(tuned(run, (1e37, 1e38)), data, tmp_path)


def test_a_grid_that_is_killed_goes_on_to_the_same_bytes(make_run, data, tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CHECKPOINT_SECONDS", "0")
    run = tuned(make_run())
    whole, _ = train(run, data, tmp_path)
    save, saves = Scratch.save, []

    def save_and_die(scratch, state):
        save(scratch, state)
        saves.append((scratch.folder.name, state["done"]))
        if len(saves) == 15:
            raise KeyboardInterrupt

    monkeypatch.setattr(Scratch, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(run, data, tmp_path)
    resumed, _ = train(run, data, tmp_path)
    assert [done for name, done in saves if name == "lr-1e-05"] == list(range(1, 12))
    assert [done for name, done in saves if name == "lr-0.03"] == list(range(1, 12))
    assert equal(whole, resumed)
    assert whole.manifest == resumed.manifest
    assert not list(tmp_path.iterdir())


def test_later_seeds_and_pruning_rounds_take_the_choice_that_was_made(make_run, data, tmp_path):
    run = tuned(make_run(arm="baseline"))
    baseline, _ = train(run, data, tmp_path)
    block = run.model_copy(update={"seeds": (3, 4)})
    more, trained = train(block, data, tmp_path, {"baseline": baseline})
    assert equal(more, train(at(block, 0.03), data, tmp_path)[0])
    assert more.manifest.record["tuning"] == baseline.manifest.record["tuning"]
    assert (more.manifest.variants["last"].cost, trained.steps) == (baseline.manifest.variants["last"].cost, 12)
    pruning = tuned(make_run(arm="round-1", method="lottery", options=FIRST_ROUND))
    pruned, _ = train(pruning, data, tmp_path, {"baseline": baseline})
    assert equal(pruned, train(at(pruning, 0.03), data, tmp_path, {"baseline": baseline})[0])
    assert pruned.manifest.variants["ticket"].cost.tuning_samples == 2 * 12 * 16
    declared = methods.resolve(pruning).record
    assert "tuning" not in pruned.manifest.record
    assert "tuning.lr" not in declared
    assert {"tuning.lr", "tuning.samples.last"} <= set(methods.resolve(run).record)


def params(train=None, validation=200, **arms):
    return config.Params.model_validate(
        {
            "seeds": [0],
            "data": {"name": "digits", "validation": validation},
            "model": {"name": "linear"},
            "train": {"steps": 9, "batch_size": 60, "optimizer": {"name": "adam", "lr": 0.1}, "evaluate_every": 9}
            | (train or {}),
            "arms": arms,
        }
    )


TUNE = {"tune": {"lr": [0.1, 0.2]}}
CHAIN = {"method": "trajectory", "tau": 4, "s": 50.0}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"own": {"method": "sgd", **TUNE}}, r"arms\.own\.tune: own has lr \[0.1, 0.2\], baseline has none; all arms"),
        (
            {"train": TUNE, "own": {"method": "hard_batches", "steps": 40, "tune": {"lr": [0.1, 0.3]}}},
            r"arms\.own\.tune: own has lr \[0.1, 0.3\], baseline has lr \[0.1, 0.2\]; all arms",
        ),
        (
            {"train": TUNE, "own": {"method": "swa", "cycle_steps": 1, "tune": None}},
            r"arms\.own\.tune: own has none, base",
        ),
        ({"own": {**CHAIN, **TUNE}}, r"arms\.own\.tune: trajectory takes no gradient step; remove it"),
        ({"train": TUNE, "validation": 0}, r"train\.tune: chosen on the validation set, and data\.validation is 0"),
        ({"train": {"tune": {"lr": [0.1, 0.1]}}}, r"train\.tune\.lr\b.*\n?.*each must stand once"),
    ],
)
def test_grids_that_differ_or_cannot_choose_are_refused_by_name(given, line):
    with pytest.raises((AssayError, ValueError), match=line):
        checks.check(params(**given))


def test_one_grid_for_all_is_allowed_and_chains_have_none():
    checks.check(params(TUNE, own={"method": "sgd", **TUNE}, other={"method": "sgd"}, chain=CHAIN))


def test_without_held_out_examples_a_folder_s_grid_is_refused_when_it_trains(make_run, data, tmp_path):
    from dataclasses import replace

    empty = replace(data.validation, images=data.validation.images[:0], labels=data.validation.labels[:0])
    with pytest.raises(AssayError, match=r"train\.tune: chosen on the validation set, and none is held out"):
        train(tuned(make_run()), replace(data, validation=empty), tmp_path)
