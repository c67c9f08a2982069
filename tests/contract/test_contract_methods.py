"""Every method goes through the same suite: it trains, counts, resumes, repeats, and exports what it says.

A method joins by its `CONTRACT_ARMS`: small arms on the synthetic data of `make_data`, with 6 batches an epoch. They
train with Adam, which takes no notice of a gradient's scale, and where scale or state matters also with SGD.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from assay import methods, models
from assay.core.config import SGD, Run
from assay.data.sets.prepared import Split
from assay.engine.checkpoint import Scratch
from assay.engine.context import TrainContext
from assay.engine.loop import Curves
from assay.engine.stack import Stack
from assay.models import artifact
from assay.scoring import predict
from tests.conftest import make_data

MODULES = {name: importlib.import_module(f"assay.methods.{name}") for name in methods.names()}
OF_METHOD = {name: getattr(module, "CONTRACT_ARMS", {}) for name, module in MODULES.items()}  # a test says what lacks
ARMS = {arm: {"method": name, **changes} for name, arms in OF_METHOD.items() for arm, changes in arms.items()}
TAKE_GRADIENTS = {name for name, module in MODULES.items() if getattr(module, "TAKES_GRADIENTS", True)}
MOMENTUM = SGD(name="sgd", lr=0.05, momentum=0.9)
FIRST_ROUND, CHAIN = ARMS["lottery"]["options"], ARMS["trajectory"]["options"]


def train(run, data, folder, stage="probe"):
    with Scratch(stage, run.model_dump(mode="json"), data.train.images.device, folder) as scratch:
        return methods.resolve(run).train(data, scratch, parents(run, data))


def parents(run, data):
    """What a pruning round starts from: the dense training, taken without a checkpoint."""
    if run.method != "lottery":
        return {}
    context = TrainContext(run.model_copy(update={"arm": "baseline", "method": "sgd", "options": {}}), data)
    update = methods.make_update(context)
    for step in range(run.train.steps):
        update.step(step)
    return {"baseline": context.artifact(update, Curves(()))}


@cache
def _trained(run, device):
    with TemporaryDirectory() as folder:
        return train(Run.model_validate_json(run), make_data(device=device), Path(folder))


def trained(run, data):
    """A run on the data of `make_data`, trained once for all tests."""
    return _trained(run.model_dump_json(), data.train.images.device)


def train_killed(run, data, folder, killed_after):
    """A run that is killed at one of its checkpoints, of which there is one a step, and goes on; gives their steps."""
    saves = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CHECKPOINT_SECONDS", "0")
        save = Scratch.save

        def save_and_die(scratch, state):
            save(scratch, state)
            saves.append(state["done"])
            if len(saves) == killed_after:
                raise KeyboardInterrupt

        patch.setattr(Scratch, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train(run, data, folder)
        return *train(run, data, folder), saves


def assert_equal_weights(one, other, compare):
    assert one.weights.keys() == other.weights.keys()
    for variant, state in one.weights.items():
        for name, tensor in state.items():
            compare(tensor, other.weights[variant][name])


def bit_equal(one, other):
    assert torch.equal(one, other)


@pytest.mark.parametrize("name", MODULES, ids="{}:parts".format)  # so that `-k <method>:` finds it
def test_a_method_has_all_its_parts(name):
    assert methods.load(name) is MODULES[name]


def test_every_method_is_in_the_suite():
    assert {arm["method"] for arm in ARMS.values()} == set(methods.names())
    assert len(ARMS) == sum(map(len, OF_METHOD.values())), "two arms have the same name"


@pytest.fixture
def data(device):
    return make_data(device=device)


def arm_id(name):
    """So that `-k <method>` finds all of a method's tests."""
    return f"{ARMS[name]['method']}:{name.replace(' ', '-')}"


@pytest.fixture(params=ARMS, ids=arm_id)
def run(request, make_run):
    return make_run(**ARMS[request.param])


STEPPED = {arm_id(name): ARMS[name] for name in ARMS} | {
    f"{arm_id(name)}+sgd": {"optimizer": MOMENTUM, **ARMS[name]}
    for name in ARMS
    if ARMS[name]["method"] in TAKE_GRADIENTS
}


@pytest.fixture(params=STEPPED)
def stepped(request, make_run):
    return make_run(**STEPPED[request.param])


@pytest.mark.parametrize("arm", [arm for arm in ARMS if ARMS[arm]["method"] in TAKE_GRADIENTS], ids=arm_id)
def test_all_passes_of_a_training_in_bfloat16_and_of_its_evaluation_are_in_bfloat16(
    arm, data, make_run, tmp_path, monkeypatch
):
    """The looks at the validation set, the statistics of a batch norm that no step has run, and the test set."""
    run, precisions, set_up = make_run(**{**ARMS[arm], "precision": "bfloat16"}), [], Stack.__init__

    def see(stack, *args, **named):
        set_up(stack, *args, **named)
        precisions.append(stack.precision)

    monkeypatch.setattr(Stack, "__init__", see)
    result, _ = train(run, data, tmp_path)
    network = models.build(run.model.name, data.images, **run.model.arguments).to(data.test.images.device)
    for variant in result.manifest.variants:
        predict.of_variant(result, variant, network, data)
    for sweep in result.manifest.sweeps:
        predict.of_sweep(result, sweep, network, data)
    assert len(precisions) > 3
    assert set(precisions) == {"bfloat16"}


def test_it_learns(run, device, tmp_path):
    data = make_data(examples=256, device=device)
    run = run.model_copy(update={"train": run.train.model_copy(update={"steps": 120, "evaluate_every": 20})})
    result, done = train(run, data, tmp_path)
    variant = next(iter(result.manifest.variants.values()))
    assert min(variant.validation_accuracy) > 0.8  # four classes: chance is 0.25
    last = [row for row in done.curves.rows if row[2] == 120 and row[3] == "validation"]
    assert len(last) == len(run.seeds) * len({row[0] for row in last})


def test_the_artifact_is_what_its_manifest_says(run, data, tmp_path):
    result, _ = trained(run, data)
    artifact.write(tmp_path / "model", result)
    back = artifact.read(tmp_path / "model")
    manifest = back.manifest
    assert manifest.model_copy(update={"digest": "", "weights_sha256": ""}) == result.manifest
    assert (manifest.arm, manifest.method, tuple(manifest.seeds)) == (run.arm, run.method, run.seeds)
    for name, variant in manifest.variants.items():
        network = models.build(manifest.model.name, data.images, **manifest.model.arguments)
        for seed in range(len(manifest.seeds)):
            for member in range(variant.members):
                network.load_state_dict(artifact.state_dict(back, name, seed, member), strict=True)
        assert len(variant.best_step) == len(variant.validation_loss) == len(manifest.seeds)
        assert 0 < min(variant.best_step) <= max(variant.best_step) <= run.train.steps


LEAVES = {  # other variants, or a record of other keys
    **ARMS,
    "lottery, the ticket alone": {"method": "lottery", "arm": "round-1", "options": {**FIRST_ROUND, "controls": []}},
    "deep ensemble of two": {"method": "deep_ensemble", "options": {"members": 2}},
    "simplex of four": {"method": "subspace", "options": {"shape": "simplex", "endpoints": 4}},
    "trajectory of one": {
        "method": "trajectory",
        "options": {**CHAIN, "tau": 1, "burn_in": 0.95},
    },
}


@pytest.mark.parametrize("arm", LEAVES, ids=lambda name: arm_id(name) if name in ARMS else name.replace(" ", "-"))
def test_it_leaves_what_it_declares_for_claims(arm, make_run, data, tmp_path):
    """`check` refuses claims by this declaration, so it must be what a training really leaves."""
    run = make_run(**LEAVES[arm])
    declared = methods.resolve(run)
    result, _ = trained(run, data)
    manifest = result.manifest
    left = {name: variant.members for name, variant in manifest.variants.items()}
    assert dict(declared.variants) == left, f"declare in `variants`: {differing(declared.variants, left)}"
    fewer, _ = train(run.model_copy(update={"seeds": run.seeds[:2]}), data, tmp_path)
    found = [
        key
        for key, value in numbers(manifest.record).items()
        if is_a_number_a_seed(value, 3) and is_a_number_a_seed(numbers(fewer.manifest.record)[key], 2)
    ]
    assert sorted(declared.record) == sorted(found), f"declare in `record_keys`: {differing(declared.record, found)}"


def differing(declared, left):
    """What a training leaves and does not declare, or the other way round."""
    undeclared, missing = (sorted({*one} - {*other}) for one, other in ((left, declared), (declared, left)))
    return "; ".join([", ".join(undeclared), *(f"not {name}, which it does not leave" for name in missing)])


def numbers(record, prefix=""):
    """What stands in a record under `a.b.c`, for keys that a claim can name so."""
    found = {}
    for key, value in record.items():
        if "." not in key:
            found |= numbers(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def is_a_number_a_seed(value, seeds):
    if isinstance(value, list):
        return len(value) == seeds and all(isinstance(each, int | float) for each in value)
    return isinstance(value, int | float)


def test_costs_are_counted(run, data):
    result, _ = trained(run, data)
    for name, variant in result.manifest.variants.items():
        trainings = result.manifest.record.get("trainings", {}).get(name, 1)  # a ticket's mask cost earlier ones
        assert variant.cost.optimizer_steps == run.train.steps * trainings
        assert variant.cost.train_samples + variant.cost.forward_samples >= run.train.steps * run.train.batch_size


def test_the_same_parameters_give_the_same_bytes(run, data, tmp_path):
    for name, (result, _) in (("one", trained(run, data)), ("two", train(run, data, tmp_path))):
        artifact.write(tmp_path / name, result)
    for file in (artifact.WEIGHTS, artifact.MANIFEST):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("killed_after", [1, 11])
def test_a_killed_run_goes_on_to_the_same_bytes(run, data, tmp_path, killed_after):
    assert_resumes(run, data, tmp_path, killed_after)


def test_a_run_killed_midway_goes_on_to_the_same_bytes(stepped, data, tmp_path):
    assert_resumes(stepped, data, tmp_path, 5)


def assert_resumes(run, data, folder, killed_after):
    whole, whole_trained = trained(run, data)
    resumed, resumed_trained, saves = train_killed(run, data, folder, killed_after)
    assert saves == list(range(1, run.train.steps))  # it went on, and did not begin anew
    assert_equal_weights(whole, resumed, bit_equal)
    assert whole.manifest == resumed.manifest
    assert whole_trained.curves.csv() == resumed_trained.curves.csv()


def test_a_network_trains_alone_as_it_does_in_company(stepped, data):
    """With SGD, whose steps are as long as its gradients: these must not depend on how many copies there are."""
    together, _ = trained(stepped, data)
    tolerance = 0.05 if stepped.train.precision == "bfloat16" else 1e-4
    for index, seed in enumerate(stepped.seeds):
        alone, _ = trained(stepped.model_copy(update={"seeds": (seed,)}), data)
        for variant, state in alone.weights.items():
            for name, tensor in state.items():
                expected = together.weights[variant][name][index]
                line = f"a copy differs in company: {variant}, {name}, seed {seed}: {{}}".format
                torch.testing.assert_close(tensor[0], expected, rtol=tolerance, atol=tolerance, msg=line)


def test_seeds_differ(run, data):
    result, _ = trained(run, data)
    for state in result.weights.values():
        found = [tensor for name, tensor in state.items() if name.endswith("weight")]
        assert all(not torch.equal(tensor[0], tensor[1]) for tensor in found)


def test_no_validation_set_means_no_validation_figures(run, data, tmp_path):
    empty = Split(data.validation.images[:0], data.validation.labels[:0])
    result, done = train(run, replace(data, validation=empty), tmp_path)
    assert {row[3] for row in done.curves.rows} == {"train", *run.eval_splits} - {"validation"}
    assert all(not v.best_step and not v.validation_loss for v in result.manifest.variants.values())
