"""Each option of each method does something: another value of it gives another result in one of the method's arms.

Other values are derived from those that the arms have. An option that no arm sets and whose default is None, or that
shows in none of the contract arms, needs an arm that shows it: in the method's `CONTRACT_ARMS`, or here.
"""

from __future__ import annotations

import hashlib
from typing import Literal, get_args, get_origin

import pytest

from assay import methods
from assay.core.config import Section
from assay.core.errors import AssayError
from tests import pretrained
from tests.contract.test_contract_methods import CHAIN, FIRST_ROUND, MODULES, OF_METHOD, trained

PRETRAINED = "test_resnet"
MORE_ARMS = {
    "lottery": [{"arm": "round-1", "model": {"name": "mlp", "hidden": [8]}, "options": FIRST_ROUND}],  # for `scope`
    "subspace": [
        {"options": {"shape": "simplex", "endpoints": 3}},
        {"options": {"noise": 0.1}, "model": pretrained.model(PRETRAINED), "steps": 2, "seeds": (0,)},
    ],
    "swa": [{"options": {"start": 0.5, "cycle_steps": 2, "lr": 0.005, "lr_end": 0.001}}],
    # long enough for `steer`, with small batches and no bias so strong that every kind of test decides alike
    "trajectory": [{"options": {**CHAIN, "s": 50.0, "s_start": 20.0, "block": 8, "moves": 120}}],
}
NO_CHOICE = {"lottery.round", "lottery.after"}  # which round it is, and what it starts from


def others(value, annotation):
    """Other values to try in place of one: of a Literal all, of a number some that its bounds may allow."""
    literals = [each for part in (annotation, *get_args(annotation)) for each in choices(part)]
    if literals and not isinstance(value, list):
        return [[each] for each in literals if each != value]
    if isinstance(value, bool):
        return [[not value]]
    if isinstance(value, int):
        return [[value + 1, value - 1, 2 * value, value // 2]]
    if isinstance(value, float):
        return [[value / 2, (value + 1) / 2, 2 * value]]
    if isinstance(value, list):
        return [[value[:-1], value[1:]]]
    if isinstance(value, dict) and value:
        return [[{key: number / 2 for key, number in value.items()}]]
    return []


def choices(annotation):
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def result_of(run, data):
    """All that a training leaves for evaluation, but for what only repeats the parameters."""
    made, _ = trained(run, data)
    digest = hashlib.sha256()
    for variant, state in sorted(made.weights.items()):
        for name, tensor in sorted(state.items()):
            digest.update(f"{variant} {name} {tuple(tensor.shape)}".encode() + tensor.cpu().numpy().tobytes())
    combined = {name: variant.combine for name, variant in made.manifest.variants.items()}
    return digest.hexdigest(), combined, made.manifest.sweeps


def changes_something(run, option, value, data):
    try:
        return result_of(run.model_copy(update={"options": {**run.options, option: value}}), data) != result_of(
            run, data
        )
    except AssayError:  # out of bounds, or refused beside the arm's other options
        return False


FIELDS = {
    f"{method}.{option}": field
    for method in OF_METHOD
    for option, field in getattr(MODULES[method], "Options", Section).model_fields.items()
    if f"{method}.{option}" not in NO_CHOICE
}


@pytest.fixture
def _weights(tmp_path, monkeypatch):
    pretrained.weights_of(PRETRAINED, tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("key", FIELDS)
def test_every_option_changes_the_result(key, make_run, data, request):
    if key.startswith("subspace."):
        request.getfixturevalue("_weights")
    (method, option), field = key.split("."), FIELDS[key]
    arms = [*OF_METHOD[method].values(), *MORE_ARMS.get(method, ())]
    runs = [make_run(**{"method": method, **arm}) for arm in arms]
    found: dict[str, bool] = {}
    for run in runs:
        now = getattr(methods.resolve(run).options, option)
        for candidates in others(now, field.annotation):
            is_choice = bool(choices(field.annotation))
            said = str(candidates[0]) if is_choice else "another number"
            found[said] = found.get(said) or any(changes_something(run, option, each, data) for each in candidates)
            if is_choice and found[said]:  # then these two values differ, whichever of them an arm has
                found[str(now)] = True
    add = f"add an arm that shows it to the CONTRACT_ARMS of {method}"
    assert found, f"no arm sets {option}: {add}"
    idle = ", ".join(said for said, changes in found.items() if not changes)
    assert not idle, f"{key}: with {idle} the result is the same in every arm; let update use it, or {add}"
