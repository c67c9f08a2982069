"""The comment: one Markdown text that GitHub takes, whatever stands in parameters and claims."""

from __future__ import annotations

import re

import pytest
from test_review_comparison import claim, evaluation, side

from assay.foundation.errors import AssayError
from assay.pipeline import values
from assay.pipeline.plan import Plan, Step
from assay.pipeline.reasons import Reason
from assay.review import comment

PLAN = Plan((Step("train@line", (Reason("parameter", "arms.line.x", "1", "2"),), None, 30.0),), (), {}, (), True)


def results(**changes) -> comment.Results:
    branch = side(
        evaluation(accuracy=[0.80, 0.81, 0.79], nll=[0.5] * 3),
        claims=[claim("refuted")],
        params={"arms": {"line": {"x": 2}}},
    )
    base = side(
        evaluation(accuracy=[0.90, 0.92, 0.91], nll=[0.5] * 3), claims=[claim()], params={"arms": {"line": {"x": 1}}}
    )
    defaults = {"branch": branch, "base": base}
    return comment.Results(**{**defaults, **changes})


def tables(text: str) -> list[str]:
    """The tables, every line of each with as many cells as its header."""
    found = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    for table in found:
        assert table.splitlines()[1].startswith("|---")
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table
    return found


def test_the_comment_holds_everything_a_reviewer_asks_for():
    done = {"ran": ["train@line", "compare"], "restored": ["evaluate@a"], "seconds": 63.2, "training_seconds": 40.1}
    text = comment.of_results(
        "main", PLAN, results(done=done, plots=[("Accuracy", "a.svg")], report="report.md", tracked="http://ui")
    )
    assert text.startswith(comment.MARKER)
    assert "## ✗ 1 claim regressed" in text
    assert "| `arms.line.x` | 1 | 2 |" in text
    assert "its verdict moved from reproduced to refuted; accuracy of line/last is worse by −11.0 [" in text
    assert "| `c`: It \\| helps. | reproduced | **refuted** |" in text
    assert "| line/last | 80.0 | −11.0 [" in text
    assert " ▼ | 0.5000 | 0.0000 |" in text
    assert "`train@line`, `compare`; restored, not run: `evaluate@a`. 63 s, of which 40 s were training." in text
    assert "- **train@line**, last time 30 s: arms.line.x: 1 → 2" in text
    assert "![Accuracy](a.svg)" in text
    assert "[The whole report](report.md) · tracked in http://ui" in text
    assert len(tables(text)) == 3


def test_where_nothing_changed_it_says_so():
    one = results().branch
    text = comment.of_results("main", Plan((), ("train@line",), {}, (), True), results(branch=one, base=one))
    assert "## ✓ No claim regressed; no verdict changed" in text
    for line in ("No parameter differs from main.", "No verdict changed (of 1).", "No test result differs from main."):
        assert line in text
    assert tables(text) == []


def test_the_plan_comes_first():
    text = comment.of_plan("main", [values.Change("a|b", "1", "x\ny")], PLAN)
    assert text.startswith(comment.MARKER)
    assert "| `a\\|b` | 1 | x y |" in text
    assert "- **train@line**, last time 30 s: arms.line.x: 1 → 2" in text
    tables(text)


def test_a_comment_is_never_longer_than_github_takes():
    many = [Reason("file", f"{'x' * 200}{number}") for number in range(7)]
    steps = tuple(Step(f"train@{number}", tuple(many), None, None) for number in range(200))
    text = comment.of_results("main", Plan(steps, (), {}, (), True), results())
    assert len(text) <= 65_536
    assert "regressed" in text
    assert "<details>" not in text


def test_github_is_told_who_is_missing_a_permission(monkeypatch):
    import requests

    from assay.review import github

    answer = requests.Response()
    answer.status_code, answer.reason = 403, "Forbidden"
    monkeypatch.setattr(requests, "request", lambda *arguments, **options: answer)
    request = github.PullRequest("https://api", "https://pages", "team/assay", 7, "secret")
    with pytest.raises(AssayError, match="403 Forbidden; the job needs the permissions pull-requests: write"):
        request.comment("m", "body")
