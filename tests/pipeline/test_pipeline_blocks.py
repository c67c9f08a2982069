"""Blocks of seeds in the real dvc.yaml: a changed arm reruns its own blocks, and a changed block nothing else.

The stages are stand-ins that write in no time what real ones would: what DVC makes of dvc.yaml is looked at.
"""

from __future__ import annotations

import pytest
from clone import PARAMS, Clone

STAND_IN = """\
import json
import sys
from pathlib import Path
from ruamel.yaml import YAML

def write(name, text):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)

def read(name):
    return str(YAML(typ="safe").load(Path(name)))

stage, name = Path(sys.argv[0]).stem, {"prune": "round-"}.get(Path(sys.argv[0]).stem, "") + "".join(sys.argv[1:])
name = name or "baseline"
if stage in ("train", "baseline", "prune"):
    for path in (f"models/{name}/manifest.json", f"models/{name}/weights.safetensors", f"metrics/curves/{name}.csv"):
        write(path, read("params.yaml") + read("seeds.yaml"))
    write(f"metrics/timings/{name}.json", "{}")
elif stage == "evaluate":
    write(f"data/predictions/{name}.safetensors", Path(f"models/{name}/manifest.json").read_text())
    write(f"metrics/evaluate/{name}.json", "{}")
elif stage == "register":
    arms = YAML(typ="safe").load(Path("params.yaml"))["arms"]
    write("metrics/plan.json", "{}")
    write("metrics/networks.json", json.dumps({"networks": dict.fromkeys(["baseline", *arms], "")}))
else:
    for path in {
        "scan": ["data/own.json"], "download": ["data/raw/a"],
        "prepare": [f"data/prepared/{one}" for one in
                    ("meta.json", "train.safetensors", "validation.safetensors", "test.safetensors")],
        "compare": [f"metrics/{one}" for one in
                    ("metrics.json", "seeds.csv", "summary.csv", "claims.json", "timings.json", "plots/results.csv",
                     "plots/curves.csv", "report/report.md", "report/advice.md", "report/claims.svg",
                     "report/index.html", "report/figures/a.svg")],
        "track": ["metrics/mlflow.json"],
    }[stage]:
        write(path, "{}")
"""
SEEDS_YAML = """\
more:
  hard-1: {arm: hard, method: hard_batches, seeds: [102]}
  hard-2: {arm: hard, method: hard_batches, seeds: [103]}
  hard-3: {arm: hard, method: hard_batches, seeds: [104, 105]}
  cyclic-1: {arm: cyclic, method: sgd, seeds: [102]}
more_baseline: {baseline-1: {seeds: [102]}}
more_rounds:
  "1-1": {after: baseline-1, dense: baseline-1, seeds: [102]}
  "2-1": {after: round-1-1, dense: baseline-1, seeds: [102]}
"""
ARMS = {"cyclic": {"method": "sgd", "batches": "fixed"}, "hard": {"method": "hard_batches", "delta": 0.5}}
ALWAYS = {"register", "compare", "track"}  # they read all parameters


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    made = Clone(tmp_path_factory.mktemp("blocks"))
    for name in (
        "register",
        "scan",
        "download",
        "prepare",
        "baseline",
        "train",
        "prune",
        "evaluate",
        "compare",
        "track",
    ):
        (made.folder / f"stages/{name}.py").write_text(STAND_IN)
    write(made, ARMS)
    (made.folder / "seeds.yaml").write_text(SEEDS_YAML)
    made.run("dvc", "init", "-q", check=False)
    made.first = made.repro()
    return made


def write(clone: Clone, arms: dict, **changes) -> None:
    clone.write({**PARAMS, "seeds": [100, 101], "arms": arms, "claims": [], **changes})


def of(name: str, *blocks: str) -> set[str]:
    """The stages of an arm with these blocks."""
    more = {f"{stage}_more@{name}-{block}" for stage in ("train", "evaluate") for block in blocks}
    return {f"train@{name}", f"evaluate@{name}"} | more


def test_everything_runs_the_registration_first_and_each_round_after_what_it_starts_from(clone):
    order = clone.first
    assert order[0] == "register"
    chain = ["baseline_more@baseline-1", "prune_more@1-1", "prune_more@2-1", "evaluate_round_more@2-1", "compare"]
    assert [name for name in order if name in chain] == chain
    assert of("hard", "1", "2", "3") | of("cyclic", "1") | {"evaluate_baseline_more@baseline-1"} <= set(order)


def test_a_changed_arm_reruns_exactly_its_blocks(clone):
    write(clone, {**ARMS, "hard": {"method": "hard_batches", "delta": 0.2}})
    assert set(clone.repro()) == of("hard", "1", "2", "3") | ALWAYS


def test_a_new_block_runs_and_nothing_else(clone):
    more = SEEDS_YAML.replace("  cyclic-1", "  cyclic-2: {arm: cyclic, method: sgd, seeds: [103]}\n  cyclic-1")
    (clone.folder / "seeds.yaml").write_text(more)
    assert set(clone.repro()) == {"train_more@cyclic-2", "evaluate_more@cyclic-2", "compare", "track"}


def test_a_block_of_the_baseline_reruns_the_chains_that_start_from_it(clone):
    text = (clone.folder / "seeds.yaml").read_text()
    head, _, chains = text.partition("more_baseline")
    (clone.folder / "seeds.yaml").write_text(f"{head}more_baseline{chains.replace('[102]', '[102, 103]')}")
    assert set(clone.repro()) == {
        *("baseline_more@baseline-1", "prune_more@1-1", "prune_more@2-1", "evaluate_baseline_more@baseline-1"),
        *("evaluate_round_more@1-1", "evaluate_round_more@2-1", "compare", "track"),
    }


def test_blocks_side_by_side_are_sets_of_their_own(clone):
    code = "from pathlib import Path; from assay.pipeline import dag, side_by_side as s, plan\n"
    code += "with dag.opened(Path.cwd()) as repo:\n"
    code += "    print(sorted(map(sorted, s.units(repo, [n for n in plan.make(repo).unchanged if '_more@' in n]))))"
    found = clone.run("python", "-c", code).stdout
    assert "['evaluate_more@hard-2', 'train_more@hard-2']" in found
    assert found.count("baseline_more@baseline-1") == 2  # its training and its evaluation, in the chain's own set
