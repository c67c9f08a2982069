"""Every preset can be applied, and every arm that it asks for can be trained on images of its data set's shape."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from assay import methods
from assay.cli import preset
from assay.core import config, runtime
from assay.core.config import BASELINE
from assay.core.config.blocks import NO_BLOCKS, read_blocks
from assay.core.errors import AssayError
from assay.data import catalog
from assay.engine.context import TrainContext
from assay.engine.loop import Curves
from tests.conftest import make_data

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "presets"
OWN = (ROOT / "params.yaml").read_text(encoding="utf-8")  # of a user it may be any
PARAMS = """\
# what the presets are written over
seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
data:
  name: mnist  # a comment
  validation: 5000
model: {name: lenet_300_100}
train:                            # the budget that every arm shares
  steps: 2000
  batch_size: 60
  optimizer: {name: adam, lr: 0.0012}
  evaluate_every: 200
arms:                             # each entry adds its stages
  cyclic: {method: sgd, batches: fixed}   # never reshuffled

  hard: {method: hard_batches, delta: 0.5}
lottery: {prune_fraction: 0.2, scope: layerwise, rewind: 0, rounds: {"1": {after: baseline}}, controls: [1]}
rule: {tests: 40}
claims:
  - {id: c, paper: ours, statement: "s", arm: hard, against: cyclic, metric: accuracy, verdict: better}
"""
NO_ROUNDS = "lottery: {prune_fraction: 0.2, scope: layerwise, rewind: 0, rounds: {}, controls: []}\n"
EXAMPLES, BATCH = 128, 2  # enough for 1/64 of the examples to fill a batch, and little enough for 128² pixels on a CPU


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with params.yaml and one small preset."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/small.yaml").write_text(
        "# says what it is\nmodel: {name: mlp, hidden: [8]}  # small\n\n# of this budget\ntrain:\n"
        "  steps: 1200\n  batch_size: 50\n"
        "  optimizer: {name: sgd, lr: 0.1}\n  evaluate_every: 7\n",
        encoding="utf-8",
    )
    return tmp_path


def base_of(name: str) -> str:
    """For a preset without arms params.yaml as it is, where that holds the experiment that the preset is about."""
    yaml = YAML(typ="safe", pure=True)
    if "arms" in yaml.load(preset.read(name, FOLDER)):
        return PARAMS
    own, archived = yaml.load(OWN), yaml.load(ROOT / f"results/{name}/params.yaml")
    if own["seeds"] != archived["seeds"] or not archived["arms"].keys() <= own.get("arms", {}).keys():
        pytest.skip(f"params.yaml has other seeds or arms than results/{name}, whose experiment the preset is about")
    return OWN


@cache
def params_of(name: str) -> config.Params:
    text = preset.overlaid(base_of(name), preset.read(name, FOLDER), f"presets/{name}.yaml")
    return config.Params.model_validate(YAML(typ="safe", pure=True).load(text))


@pytest.mark.parametrize("name", preset.names(FOLDER))
def test_every_arm_of_every_preset_takes_a_step_and_the_first_of_each_method_two(name):
    params = params_of(name)
    assert params.runs()
    images = catalog.images_of(params.data)
    assert images is not None, "a preset names a data set that everybody can have"
    classes = min(10, images.height)
    data = make_data(EXAMPLES, images.channels, images.height, classes, params.data.augment)
    data = replace(data, images=images)
    parents, methods_met = {}, set()
    # where bfloat16 is emulated, the large networks of some presets take several seconds a step
    emulated = {} if runtime.has_bfloat16(data.device) else {"precision": "float32"}
    for run in without_later_rounds(params):
        small = run.train.model_copy(update={"batch_size": BATCH, **emulated})
        context = TrainContext(run.model_copy(update={"seeds": (0,), "train": small}), data, parents)
        update = methods.make_update(context)
        for step in (0,) if run.method in methods_met else (0, 1):
            seen = update.step(step)
            assert seen.losses.isfinite().all(), run.arm
        methods_met.add(run.method)
        if run.arm == BASELINE and params.lottery.names:
            parents[BASELINE] = context.artifact(update, Curves(()))


def without_later_rounds(params: config.Params) -> list[config.Run]:
    """Every training, but of the pruning rounds the first alone: the others differ from it by their masks."""
    later = params.lottery.names[1:]
    return [run for run in params.runs() if run.arm not in later]


def test_a_section_is_replaced_and_every_other_line_stays(folder, capsys):
    (folder / "seeds.yaml").write_text("more: {hard-1: {arm: hard, method: hard_batches, seeds: [10]}}\n")
    preset.main("small")
    shown = capsys.readouterr().out
    assert "git diff" in shown
    assert re.search(r"It takes about .* of training here; `make plan`", shown)
    assert read_blocks(folder / "seeds.yaml") == NO_BLOCKS  # they were of other arms
    old, new = PARAMS.splitlines(), (folder / "params.yaml").read_text(encoding="utf-8").splitlines()
    assert new[: old.index("model: {name: lenet_300_100}")] == old[: old.index("model: {name: lenet_300_100}")]
    arms = next(number for number, line in enumerate(old) if line.startswith("arms:"))
    assert new[-len(old[arms:]) :] == old[arms:]
    between = new[old.index("model: {name: lenet_300_100}") : -len(old[arms:])]
    assert between[:4] == ["model: {name: mlp, hidden: [8]}  # small", "", "# of this budget", "train:"]
    assert config.load(folder / "params.yaml").train.steps == 1200
    preset.main("small")
    assert (folder / "params.yaml").read_text(encoding="utf-8").splitlines() == new


def test_an_unknown_name_lists_those_there_are(folder, capsys):
    for name in ("smal", "../presets/small"):
        with pytest.raises(AssayError, match=r"presets: no preset .*; .*allowed: small$"):
            preset.main(name)
    preset.main(None)
    assert re.search(r"small +about \d+ .* of training here\n", capsys.readouterr().out)


def test_the_list_says_what_does_not_fit(folder, capsys):
    (folder / "presets/small.yaml").write_text("data: {name: mnits, validation: 10}\n", encoding="utf-8")
    preset.main(None)
    assert "data.name: got 'mnits'; did you mean mnist?" in capsys.readouterr().out


def test_no_params_file_is_one_clear_line(folder):
    (folder / "params.yaml").unlink()
    with pytest.raises(AssayError, match=r"params\.yaml: not found"):
        preset.main("small")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("arms: {}\nclaims: []\n", "lottery: missing; a preset replaces arms, lottery, claims together"),
        ("trian: {}\n", "trian: unknown key; did you mean train?"),
        (f"arms:\n  a: {{method: hard_batches, delta: 2}}\n{NO_ROUNDS}claims: []\n", "arms.a.delta: got 2"),
        ("model: {name: conv_66}\n", "model.name: unknown model 'conv_66'"),
        ("model: [\n", "not valid YAML"),
        ("{model: {name: linear}, seeds: [1]}\n", "each top-level key must begin a line of its own"),
        ("seeds: [1]\nmodel: &m {name: linear}\n--- \n", "not valid YAML"),
        ("- 1\n", "must hold keys and values"),
    ],
)
def test_a_preset_that_does_not_fit_is_refused_and_params_stay(folder, text, line):
    (folder / "presets/bad.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(AssayError) as error:
        preset.main("bad")
    assert line in str(error.value)
    assert all(each.startswith("presets/bad.yaml: ") for each in str(error.value).splitlines())
    assert (folder / "params.yaml").read_text(encoding="utf-8") == PARAMS


def test_a_claim_that_names_a_preset_is_one_of_its_claims():
    """Else no archived run of the preset could ever give it a verdict."""
    yaml = YAML(typ="safe", pure=True)
    for claim in yaml.load(OWN).get("claims", []):
        if "preset" in claim:
            own = yaml.load(preset.read(claim["preset"], FOLDER))["claims"]
            assert claim["id"] in [one["id"] for one in own], claim["preset"]


@pytest.mark.parametrize("name", preset.names(FOLDER))
def test_every_claim_of_a_preset_can_be_decided(name):
    """All its arms have the seeds of the first look; the step of the least loss means something at a constant rate."""
    params = params_of(name)
    assert all(len(run.seeds) >= params.rule.looks[0] for run in params.runs())
    trains = {run.arm: run.train for run in params.runs()}
    for claim in params.claims:
        arms = [config.split_variant(side)[0] for side in claim.arms.values()]
        noisy = all(arm in params.arms and params.arms[arm].label_noise for arm in arms)
        if claim.metric == "best_step" or (claim.metric == "best_step_accuracy" and not noisy):
            assert all(trains[arm].schedule.name == "constant" for arm in arms), claim.id


def test_the_quick_look_has_every_method_and_few_stages():
    """A stage takes three seconds to start, two of them side by side: thirty of them leave time to train."""
    params = params_of("quick")
    methods_met = {run.method for run in params.runs()}
    assert {"hard_batches", "subset", "subspace", "lottery", "trajectory"} <= methods_met
    stages = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
    once = [name for name, stage in stages.items() if "foreach" not in stage and name != "baseline"]
    assert 2 * len(params.runs()) + len(once) - 1 <= 30  # `once` has the evaluation of the baseline


def test_presets_of_subsets_have_a_thousand_epochs_and_a_hundred():
    """The cost against the baseline is then (1000 / k + 100) / 1000, so it is never below a tenth."""
    for name in ("subset_mnist", "subset_cifar10", "subset_cifar100"):
        params = params_of(name)
        examples = catalog.training_examples(params.data)
        for run in params.runs():
            if run.method == "subset" and run.options["k"] > 1:
                pretraining = round(run.options["pretrain"] * run.train.steps)
                epochs = pretraining * run.train.batch_size / (examples // run.options["k"])
                fine_tuning = (run.train.steps - pretraining) * run.train.batch_size / examples
                assert (epochs, fine_tuning) == (1000, 100)
                assert run.train.steps / params.train.steps == pytest.approx(1 / run.options["k"] + 0.1)
