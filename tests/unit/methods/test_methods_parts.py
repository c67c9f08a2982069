"""A method's module without a part, or with one misspelt, is one line that names it, before anything trains."""

import sys

import pytest

from assay import methods
from assay.core.config.claim import Claim
from assay.core.errors import AssayError
from assay.methods import checks

WHOLE = """
from assay.core.config import Section

PAPER = {"key": "own2026", "topic": "Own", "cited": "Own 2026"}
CONTRACT_ARMS = {"own": {}}

class Options(Section):
    pass

def update(context, options):
    pass
"""
WHERE = "src/assay/methods/own/__init__.py: "


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the method `own`, and other files of its folder; gives a function that does."""
    monkeypatch.setattr(methods, "names", lambda: ["own"])
    monkeypatch.setattr(methods, "__path__", [str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a source of the same length and second would be stale

    def write(source, **files):
        (tmp_path / "own").mkdir()
        for name, text in {"__init__": source, **files}.items():
            (tmp_path / f"own/{name}.py").write_text(text)

    yield write
    methods.load.cache_clear()
    for name in [name for name in sys.modules if name.startswith("assay.methods.own")]:
        del sys.modules[name]


def said(of) -> list[str]:
    with pytest.raises(AssayError) as raised:
        of()
    return str(raised.value).splitlines()


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        ("def update", "def updte", "update: missing; see docs/adding-a-method.md"),
        ("class Options", "class Option", "Options: missing; see docs/adding-a-method.md"),
        ("CONTRACT_ARMS", "CONTRACT_ARM", "CONTRACT_ARMS: missing; see docs/adding-a-method.md"),
        ("PAPER", "PAPERS", "PAPERS: no part of a method; did you mean PAPER? "),
        ("def update", "def chek(*_): pass\ndef update", "chek: no part of a method; did you mean check? "),
        ("def update", "record_key = ()\ndef update", "record_key: no part of a method; did you mean record_keys? "),
    ],
)
def test_a_missing_or_misspelt_part_is_named(write, make_run, right, wrong, line):
    write(WHOLE.replace(right, wrong))
    (found,) = said(lambda: methods.resolve(make_run(method="own")))
    assert found.startswith(WHERE + line)


def test_helpers_and_imports_may_have_any_name(write, make_run):
    helpers = "from math import comb as checks\ndef _chek(): pass\nclass Sampler: pass\nKEYS = ()\n"
    write(WHOLE + helpers)
    assert methods.resolve(make_run(method="own")).method.Sampler


@pytest.mark.parametrize("part", methods.DEFAULTS)
def test_a_file_of_the_folder_is_no_part(write, make_run, part):
    write(f"from assay.methods.own import {part}\n{WHOLE}", **{part: ""})
    training = methods.resolve(make_run(method="own"))
    default = methods.DEFAULTS[part]
    assert training.hook(part, 1, 2) == (default(1, 2) if callable(default) else default)


@pytest.mark.parametrize("part", ["update", "Options", "CONTRACT_ARMS"])
def test_a_file_does_not_stand_for_a_missing_part(write, make_run, part):
    write(f"from assay.methods.own import {part}\n{WHOLE.replace(part, 'Other')}", **{part: ""})
    assert said(lambda: methods.resolve(make_run(method="own"))) == [
        f"{WHERE}{part}: missing; see docs/adding-a-method.md"
    ]


def claim(paper: str) -> Claim:
    return Claim(id="c", paper=paper, statement="s", preset="p")


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        ('"key"', '"kye"', f"{WHERE}PAPER: must have the texts key, topic and cited, and no other key; see docs/"),
        (
            '"topic"',
            '"more": 1, "topic"',
            f"{WHERE}PAPER: must have the texts key, topic and cited, and no other key; see docs/",
        ),
        ('"own2026"', "KEY", "/own/__init__.py: PAPER: must be a literal; write values, and no names"),
    ],
)
def test_a_paper_that_the_report_could_not_use_is_named(write, tmp_path, right, wrong, line):
    write(WHOLE.replace(right, wrong))
    (found,) = said(lambda: checks.check_papers([], tmp_path))
    assert line in found


@pytest.mark.parametrize("key", ["foret", "foert2021", "Foret2021", "forett2021"])
def test_a_key_misspelt_is_named(write, tmp_path, key):
    write(WHOLE.replace("own2026", "foret2021"))
    line = f"params.yaml: claims.c.paper: no method names {key!r}; did you mean foret2021?"
    assert said(lambda: checks.check_papers([claim(key)], tmp_path)) == [line]


@pytest.mark.parametrize("key", ["foret2021", "ours", "none", "p", "foret2020", "keskar2021"])
def test_a_key_far_from_all_others_is_allowed(write, tmp_path, key):
    write(WHOLE.replace("PAPER =", "PAPER: dict[str, str] =").replace("own2026", "foret2021"))
    checks.check_papers([claim(key)], tmp_path)


def test_a_budget_shorter_than_the_warm_up_is_refused(make_run, data):
    """A method's `budget` gives another number of steps than params.yaml, whose own is checked as it is read."""
    run = make_run(schedule={"name": "cosine", "warmup_steps": 4})
    methods.resolve(run).check(data.images, 96)
    short = run.model_copy(update={"train": run.train.model_copy(update={"steps": 3})})
    with pytest.raises(
        AssayError, match=r"schedule: the training has 3 steps, no more than the schedule's warmup_steps"
    ):
        methods.resolve(short).check(data.images, 96)
