"""params.yaml turned wrong gives one clear line that names the key and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from assay.core import config
from assay.core.config.parsing import parse
from assay.core.errors import AssayError
from assay.scoring import metrics

TEXT = """\
seeds: [0, 1]
data: {name: digits, validation: 100}
model: {name: mlp, hidden: [32]}
train:
  steps: 300
  batch_size: 60
  optimizer: {name: adam, lr: 1e-3}
  schedule: {name: constant}
  evaluate_every: 50
arms:
  cyclic: {method: sgd, batches: fixed}
  long: {method: sgd, steps: 600, optimizer: {name: sgd, lr: 0.1, momentum: 0.9}, seeds: [7], model: {name: linear}}
claims:
  - {id: c1, paper: p2020, statement: s, arm: cyclic, against: baseline, metric: accuracy, verdict: better}
"""


@pytest.fixture
def params_file(tmp_path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    return path


def test_yaml_is_read_as_dvc_reads_it(params_file):
    assert config.load(params_file).train.optimizer.lr == 0.001  # YAML 1.1 would make 1e-3 a string


def test_an_arm_overrides_what_it_names_and_shares_the_rest(params_file):
    params = config.load(params_file)
    cyclic, long = params.run("cyclic"), params.run("long")
    assert (cyclic.seeds, cyclic.model, cyclic.train) == (params.seeds, params.model, params.train)
    assert cyclic.options == {"batches": "fixed"}
    assert (long.seeds, long.model.name, long.options) == ((7,), "linear", {})
    assert (long.train.steps, long.train.batch_size, long.train.optimizer.name) == (600, 60, "sgd")
    assert params.run("baseline").method == "sgd"


def test_the_rule_is_that_of_the_file_or_the_default(params_file):
    rule = config.load(params_file).rule
    assert rule.looks == (10, 20, 40)
    assert [rule.level(look) for look in range(3)] == pytest.approx([0.05 / 160, 0.05 / 160, 0.05 / 80])
    params_file.write_text(TEXT + "rule: {alpha: 0.1, looks: [12], shares: [1], tests: 7, matters: 0.01}\n")
    assert config.load(params_file).rule.level(0) == pytest.approx(0.1 / 7)


def test_more_claims_are_tested_than_the_rule_has_tests_for(params_file):
    more = [TEXT.splitlines()[-1].replace("c1", f"c{n}") for n in (2, 3)]
    exact = more[0].replace("c2", "c4").replace("accuracy", "train_samples")
    elsewhere = "  - {id: c5, paper: p, statement: s, preset: other}"
    params_file.write_text("\n".join([TEXT.rstrip(), more[0], exact, elsewhere, "rule: {tests: 2}\n"]))
    params = config.load(params_file)
    metrics.check(params.claims, params.rule)
    assert len(params.claims) == 4
    params_file.write_text("\n".join([TEXT.rstrip(), *more, "rule: {tests: 2}\n"]))
    with pytest.raises(AssayError, match=r"rule.tests: 2 is less than the 3 claims that are tested; raise it$"):
        metrics.check(*(getattr(config.load(params_file), key) for key in ("claims", "rule")))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "steps: 300",
            "stepz: 300",
            "train.stepz: unknown key; did you mean steps? allowed: backbone_lr, batch_size, ",
        ),
        ("steps: 300", "steps: -5", "train.steps: got -5; it should be greater than or equal to 1"),
        ("steps: 300", "steps: many", "train.steps: got 'many'; it should be a valid integer"),
        ("steps: 300", "steps: 3.5", "train.steps: got 3.5; it should be a valid integer"),
        ("batch_size: 60", "batch_size: true", "train.batch_size: got True; it should be a valid integer"),
        ("{name: adam, lr: 1e-3}", "{name: adm}", "train.optimizer.name: got 'adm'; did you mean adam? allowed: sgd"),
        ("{name: adam, lr: 1e-3}", "{name: adam}", "train.optimizer.lr: missing, and required"),
        (
            "lr: 1e-3",
            "lr: 1e-3, momentum: 0.9",
            "train.optimizer.momentum: unknown key; allowed: betas, decay, eps, lr",
        ),
        ("lr: 1e-3", "lr: 1e-3, betas: [0.9, 1]", "train.optimizer.betas.1: got 1; it should be less than 1"),
        ("{name: adam, lr: 1e-3}", "adam", "train.optimizer: got 'adam'; it should hold keys and values"),
        ("{name: constant}", "{name: cosine, warmup_steps: 300}", "train: schedule.warmup_steps is 300; it must be"),
        ("{name: constant}", "{name: step, at: [3, 2]}", "train.schedule.at: got [3, 2]; must be steps from 1"),
        ("validation: 100", "validation: -1", "data.validation: got -1; it should be greater than or equal to 0"),
        ("name: digits", "name: folder", "data.side: missing; a folder of images needs"),
        ("name: digits", "name: digits, side: 8", "data.side: only a data set named folder takes it, not digits"),
        ("name: digits", "name: digits, fit: crop", "data.fit: only a data set named folder takes it, not digits"),
        ("name: digits", "name: folder, side: 3", "data.side: got 3; it should be from 4 to 1024 pixels"),
        ("name: digits", "name: folder, side: [8]", "data.side: got [8]; it should be a number of pixels, or [height"),
        ("name: digits", "name: folder, side: [8, 9.5]", "data.side: got [8, 9.5]; it should be a number of pixels"),
        ("name: digits", "name: folder, side: 8, channels: 2", "data.channels: got 2; it should be 1 or 3"),
        ("name: digits", "name: folder, side: 8, fit: fill", "data.fit: got 'fill'; it should be 'crop', 'pad' or"),
        ("claims:\n", "rule:\nclaims:\n", "rule: got None; remove the line `rule:` too, or fill it"),
        ("name: digits", "name: digits, augment: 3", "data.augment: got 3; give the name of a transform, or a list"),
        ("name: digits", "name: digits, augment: []", "data.augment: got []; give the name of a transform, or a list"),
        ("name: digits", "name: digits, augment: [crop, 3]", "data.augment: got ['crop', 3]; 3 is no entry; an entry"),
        ("batches: fixed", "augment: [{a: 1}]", "arms.cyclic.augment: got [{'a': 1}]; {'a': 1} is no entry; an entry"),
        ("batches: fixed", "augment: {a: {}}", "arms.cyclic.augment: give the name of a transform, or a list"),
        ("[0, 1]", "[0, 0]", "seeds: got [0, 0]; each must stand once"),
        ("[0, 1]", "[]", "seeds: got []; it should hold 1 or more"),
        ("[0, 1]", "3", "seeds: got 3; it should be a list"),
        ("seeds: [7]", "seeds: [7, 7]", "arms.long.seeds: got [7, 7]; each must stand once"),
        ("method: sgd, batches", "batches", "arms.cyclic.method: missing, and required"),
        ("steps: 600", "steps: 0", "arms.long.steps: got 0; it should be greater than or equal to 1"),
        ("lr: 0.1", "lr: -1", "arms.long.optimizer.lr: got -1; it should be greater than 0"),
        ("cyclic: {", "baseline: {", "arms.baseline: the name is taken by the pipeline itself"),
        ("cyclic: {", "a b: {", "arms.a b: got 'a b'; it should match"),
        ("arm: cyclic", "arm: cycle", "claims.c1.arm: no arm 'cycle'; there are baseline, cyclic, long"),
        ("verdict: better", "verdict: best", "claims.0.verdict: got 'best'; it should be 'better', 'not_worse'"),
        ("verdict: better", "verdict: better, margn: 1", "claims.0.margn: unknown key; did you mean margin? allowed: "),
        ("claims:\n", "claim:\n", "claim: unknown key; did you mean claims? allowed: arms, claims, data"),
        ("claims:\n", "rule: {alpa: 0.1}\nclaims:\n", "rule.alpa: unknown key; did you mean alpha? allowed: alpha, lo"),
        ("claims:\n", "rule: {alpha: 0.0}\nclaims:\n", "rule.alpha: got 0.0; it should be greater than 0"),
        ("claims:\n", "rule: {looks: [5, 10, 20]}\nclaims:\n", "rule.looks: got [5, 10, 20]; give rising numbers of"),
        ("claims:\n", "rule: {looks: [10, 20, 20]}\nclaims:\n", "rule.looks: got [10, 20, 20]; give rising numbers"),
        ("claims:\n", "rule: {looks: [10, 20.5, 40]}\nclaims:\n", "rule.looks.1: got 20.5; it should be a valid integ"),
        ("claims:\n", "rule: {looks: []}\nclaims:\n", "rule.looks: got []; it should hold 1 or more"),
        ("claims:\n", "rule: {looks: [10, 20]}\nclaims:\n", "rule.shares: got [0.25, 0.25, 0.5]; give one above 0"),
        ("claims:\n", "rule: {shares: [0.5, 0.5, 0.5]}\nclaims:\n", "rule.shares: got [0.5, 0.5, 0.5]; give one above"),
        ("claims:\n", "rule: {shares: [0.5, 0.5, 0]}\nclaims:\n", "rule.shares: got [0.5, 0.5, 0.0]; give one above 0"),
        ("claims:\n", "rule: {shares: []}\nclaims:\n", "rule.shares: got []; it should hold 1 or more"),
        ("claims:\n", "rule: {tests: 0}\nclaims:\n", "rule.tests: got 0; it should be greater than or equal to 1"),
        ("claims:\n", "rule: {matters: 0}\nclaims:\n", "rule.matters: got 0; it should be greater than 0"),
        ("claims:\n", "rule: 3\nclaims:\n", "rule: got 3; it should hold keys and values"),
        ("seeds: [0, 1]\n", "", "seeds: missing, and required"),
        ("seeds: [0, 1]", "seeds: [0, 1]\nseeds: [2]", "not valid YAML: line 2: found duplicate key"),
        ("lr: 1e-3", "lr: .inf", "train.optimizer.lr: got inf; it should be a finite number"),
        ("lr: 1e-3", "lr: 1e999", "train.optimizer.lr: got inf; it should be a finite number"),
        ("hidden: [32]", "hidden: [32, .nan]", "model.hidden.1: got nan; it should be a finite number"),
        ("batches: fixed", "delta: -.Inf", "arms.cyclic.delta: got -inf; it should be a finite number"),
        ("verdict: better", "verdict: better, margin: .inf", "claims.0.margin: got inf; it should be a finite number"),
        ("arms:\n", "lottery: {prune_fraction: {conv: .nan}}\narms:\n", "lottery.prune_fraction.conv: got nan; it"),
        ("[0, 1]", "[0, 9223372036854775808]", "seeds.1: the number does not fit in 64 bits"),
        ("hidden: [32]", "hidden: [0x1" + "0" * 4000 + "]", "model.hidden.0: the number does not fit in 64 bits"),
        ("hidden: [32]", "hidden: [1" + "0" * 5000 + "]", "not valid YAML: Exceeds the limit"),
        ("statement: s", "statement: 2020-01-01", "claims.0.statement: got a date; it should be a number or a text"),
        ("statement: s", "statement: 2020-13-01", "not valid YAML: month must be in 1..12"),
        ("hidden: [32]", "hidden: &h [*h]", "model.hidden.0.0"),
        ("cyclic: {", "a" * 101 + ": {", f"arms.{'a' * 101}: got '{'a' * 101}'; it should have at most 100 characters"),
        ("id: c1", "id: " + "c" * 101, f"claims.0.id: got '{'c' * 101}'; it should have at most 100 characters"),
        ("cyclic: {", "1: {", "arms.1: got 1; it should be a valid string"),
        ("cyclic: {", "true: {", "arms.1: got True; it should be a valid string"),
        ("hidden: [32]", "1: 2", "model.1: got 1; it"),
        ("seeds: [0, 1]", "seeds: [0, true]", "seeds.1: got True; it should be a valid integer"),
        ("arms:\n", "lottery:\narms:\n", "lottery: got None; remove the line `lottery:` too"),
        ("seeds: [0, 1]", "seeds: [0,\t1]\n\tx: 1", "not valid YAML: "),
        (TEXT, "- 1\n- 2\n", "the file must hold keys and values, not [1, 2]"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(params_file, old, new, line):
    assert old in TEXT
    params_file.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(AssayError) as raised:
        config.load(params_file)
    lines = [each.removeprefix(f"{params_file}: ") for each in str(raised.value).splitlines()]
    assert any(each.startswith(line) for each in lines), lines


@pytest.mark.parametrize("section", ["arms", "lottery", "claims"])
def test_a_section_that_is_not_there_means_none_and_an_empty_one_is_an_error(params_file, section):
    text = TEXT.partition("arms:")[0]
    params_file.write_text(text)
    params = config.load(params_file)
    assert (params.arms, params.lottery.names, params.claims) == ({}, [], ())
    params_file.write_text(f"{text}{section}:\n")  # all below it commented out; DVC cannot read that
    with pytest.raises(AssayError, match=rf"{section}: got None; remove the line `{section}:` too"):
        config.load(params_file)


@pytest.mark.parametrize(
    ("encoding", "says"),
    [("utf-8", None), ("utf-8-sig", None), ("utf-16", "not UTF-8 text; save it with"), ("latin-1", "not UTF-8 text")],
)
def test_the_file_is_utf_8(params_file, encoding, says):
    params_file.write_bytes(TEXT.replace("statement: s", "statement: déjà vu").encode(encoding))
    if says is None:
        assert config.load(params_file).claims[0].statement == "déjà vu"
        return
    with pytest.raises(AssayError) as raised:
        config.load(params_file)
    assert str(raised.value).startswith(f"{params_file}: {says}")


def test_a_file_that_cannot_be_read_is_one_line(params_file):
    params_file.unlink()
    params_file.mkdir()
    with pytest.raises(AssayError, match=r"^.*params\.yaml: cannot be read: Is a directory$"):
        config.load(params_file)


def test_everything_wrong_is_said_at_once(params_file):
    params_file.write_text(TEXT.replace("steps: 300", "steps: 0").replace("validation: 100", "validation: x"))
    with pytest.raises(AssayError) as raised:
        config.load(params_file)
    assert len(str(raised.value).splitlines()) == 2


def test_a_missing_or_empty_file_is_said(params_file):
    with pytest.raises(AssayError, match=r"nowhere\.yaml: not found"):
        config.load(Path("nowhere.yaml"))
    params_file.write_text("")
    with pytest.raises(AssayError, match="the file must hold keys and values"):
        config.load(params_file)


def test_an_unknown_arm_is_said_with_those_there_are(params_file):
    with pytest.raises(AssayError, match=r"no arm or round 'cycle'; did you mean cyclic\? allowed: baseline, cyc"):
        config.load(params_file).run("cycle")


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3))


@given(
    key=st.sampled_from(["seeds", "data", "model", "train", "arms", "claims", "other"]),
    inner=st.none() | st.sampled_from(["name", "optimizer", "schedule", "cyclic", "steps", "augment"]),
    value=values,
)
def test_no_content_whatever_escapes_as_another_error(key, inner, value):

    content = YAML(typ="safe").load(TEXT)
    if inner is not None and isinstance(content.get(key), dict):
        content[key][inner] = value
    else:
        content[key] = value
    try:
        parse(config.Params, content, "params.yaml")
    except AssayError as error:
        assert str(error)  # noqa: PT017


@pytest.mark.parametrize("name", ["size", "nfiles"])
@pytest.mark.parametrize(
    "path",
    [
        "{}", "data.{}", "model.{}", "train.optimizer.{}", "arms.{}", "arms.long.{}", "arms.long.schedule.deep.{}",
        "lottery.rounds.{}", "claims.0.{}",
    ],
)  # fmt: skip
def test_a_key_that_dvcs_run_cache_does_not_see_is_refused_wherever_it_stands(path, name):
    from dvc.stage.cache import _get_cache_hash

    content: Any = 1
    for key in reversed(path.format(name).split(".")):
        content = [content] if key == "0" else {key: content}
    with pytest.raises(AssayError) as error:
        parse(config.Params, content, "params.yaml")
    assert str(error.value).startswith(f"params.yaml: {path.format(name)}: DVC's run-cache ignores every parameter")
    assert len(str(error.value).splitlines()) == 1
    entry, other = ({"params": {"params.yaml": {"x": {"deep": [{name: value}]}}}} for value in (1, 2))
    assert _get_cache_hash(entry) == _get_cache_hash(other)  # without which there would be no need
