"""The comment: one Markdown text that GitHub takes, whatever stands in parameters and claims."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from test_review_comparison import claim, evaluation, side

from assay.pipeline.plan import Cost, Plan, Step
from assay.pipeline.reasons import Reason
from assay.review import comment, markdown
from assay.review.github import PullRequest
from assay.review.snapshot import Base, Commit

if TYPE_CHECKING:
    from assay.review.snapshot import Snapshot

ONE = Commit("1" * 40, "the base's `subject`")
BASE = Base("main", "refs/remotes/origin/main", ONE, ONE)
PLAN = Plan(
    (Step("train@line", (Reason("parameter", "arms.line.x", "1", "2"),), None, Cost(30.0, measured=True)),),
    (),
    {},
    (),
    True,
)


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
        BASE,
        PLAN,
        results(done=done, links=["![Accuracy](a.svg)", "[The whole report](report.md) · tracked in http://ui"]),
    )
    assert text.startswith(comment.MARKER)
    assert "## ✗ 1 claim regressed" in text
    subject = "`` the base's `subject` ``"
    assert f"Compared with 111111111111 {subject}, which is `main` (refs/remotes/origin/main)." in text
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


@pytest.mark.parametrize(
    ("done", "there"),
    [
        (None, False),  # the job `repro` was skipped
        ({"ran": ["register"], "restored": []}, False),
        ({"ran": ["train@line", "compare"], "restored": []}, True),
        ({"ran": ["track"], "restored": []}, True),
        ({"ran": [], "restored": ["compare"]}, True),
    ],
)
def test_the_page_is_linked_where_this_run_has_it(done, there):
    request = PullRequest("", "https://host", "team/assay", 7, "secret", job="8")
    *_, line = comment.links(request, "1234", "", done)
    assert line.startswith("[The whole report](https://host/team/assay/blob/1234/metrics/report/report.md)")
    assert ("[page and charts](https://host/team/assay/actions/runs/8#artifacts)" in line) is there


def test_where_nothing_changed_it_says_so():
    one = results().branch
    text = comment.of_results(BASE, Plan((), ("train@line",), {}, (), True), results(branch=one, base=one))
    assert "## ✓ No claim regressed; no verdict changed" in text
    for line in (
        "No parameter differs from `main`.",
        "No verdict changed (of 1).",
        "No test result differs from `main`.",
    ):
        assert line in text
    assert tables(text) == []


def test_the_plan_comes_first():
    text = comment.of_plan(BASE, [Reason("parameter", "a|b", "1", "x\ny")], PLAN)
    assert text.startswith(comment.MARKER)
    assert "| `a\\|b` | 1 | x y |" in text
    assert "- **train@line**, last time 30 s: arms.line.x: 1 → 2" in text
    tables(text)


def folds(text: str) -> list[str]:
    """What is folded; each fold is closed before the next one opens, and a table in it follows an empty line."""
    assert text.count("<details>") == text.count("</details>")
    found = re.findall(r"^<details>.*?^</details>\n", text, flags=re.MULTILINE | re.DOTALL)
    assert len(found) == text.count("<details>")
    assert all(fold.count("<details>") == 1 and "</summary>\n\n" in fold for fold in found)
    return found


def whole(text: str) -> None:
    """Nothing in the comment is cut in the middle, and GitHub takes it, however it counts."""
    assert len(text.encode()) <= 65_536
    tables(text)
    folds(text)
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")
        assert line.count("**") % 2 == 0, line
        assert line.count("`") % 2 == 0, line


def many(arms: int, claims: int, statement: str = "It helps. ", **moved) -> comment.Results:
    """Sides of which every arm and every verdict differs, all for the worse."""
    names = [f"an_arm_with_a_long_name_{number}" for number in range(arms)]

    def one(level: float, verdict: str) -> Snapshot:
        found = [evaluation(name, accuracy=[level, level + 0.01, level + 0.02]) for name in names]
        asked = [claim(verdict, f"a-claim-with-a-long-name-{n}", f"{names[n % arms]}/last") for n in range(claims)]
        asked = [one.model_copy(update={"statement": statement * 50, "difference": 0.5, **moved}) for one in asked]
        return side(*found, claims=asked, params={"arms": {name: {"steps": level} for name in names}})

    return results(branch=one(0.1, "refuted"), base=one(0.9, "reproduced"))


def steps_of(arms: int, length: int = 200) -> Plan:
    why = tuple(Reason("file", f"{'x' * length}{number}") for number in range(7))
    found = tuple(
        Step(f"train@an_arm_with_a_long_name_{number}", why, None, Cost(3.0, measured=True)) for number in range(arms)
    )
    return Plan(found, (), {}, (), True)


def test_a_comment_is_never_longer_than_github_takes():
    text = comment.of_results(BASE, steps_of(200), results())
    whole(text)
    assert "regressed" in text
    assert "more stages; `make plan`" in folds(text)[-1]
    plan = comment.of_plan(BASE, [Reason("parameter", f"a.{n}", "1" * 900, "2") for n in range(3000)], steps_of(200))
    whole(plan)
    assert "more parameters; `git diff` of params.yaml shows them." in plan
    assert "- **train@an_arm_with_a_long_name_0**, last time 3 s" in plan


@pytest.mark.parametrize("arms", [7, 200])
@pytest.mark.parametrize("statement", ["It helps. ", "Größer − 🎉 | `x` <details> **b** "])
def test_verdicts_and_regressions_come_before_the_bulk(arms, statement):
    """200 arms and 300 claims with long statements: every regression and every changed verdict is still there."""
    found = many(arms, 300, statement)
    found = comment.Results(found.branch, found.base, links=["[The whole report](report.md)"])
    text = comment.of_results(BASE, steps_of(arms), found)
    whole(text)
    assert len(found.failed) == 300
    for number in range(300):
        assert text.count(f"`a-claim-with-a-long-name-{number}`") == 2, number
    assert "[The whole report](report.md)" in text
    assert "| `arms.an_arm_with_a_long_name_0.steps` | 0.9 | 0.1 |" in text
    assert "| an_arm_with_a_long_name_1/last | " in text


def test_more_than_fits_at_all_is_cut_with_a_count():
    found = many(3, 2000)
    text = comment.of_results(BASE, PLAN, found)
    whole(text)
    regressions = text.count("**Regression of ")
    assert 500 < regressions < 2000
    assert f"{2000 - regressions:,} more regressions; " in text
    assert "## ✗ 2000 claims regressed" in text


def test_a_hundred_parameters_or_seeds_do_not_widen_the_table():
    text = comment.of_plan(BASE, [Reason("parameter", "seeds", "absent", str(list(range(9000))))], PLAN)
    assert "0, 1, 2" in text
    assert len(text) < 2000


def test_one_arm_changed_and_the_rest_is_folded():
    """All arms reran for a reason that they share, and differ in their last bits; one has a reason of its own."""
    shared = Reason("file", "src/assay/engine")
    names = [f"arm{number}" for number in range(57)]

    def one(shift: float) -> Snapshot:
        return side(
            *(
                evaluation(name, accuracy=[0.5, 0.6, 0.7], nll=[1.0 + shift * sign for sign in (1, -1, 1)])
                for name in names
            )
        )

    branch, base = one(1e-7), one(0.0)
    for row, nll in zip(branch.seeds["arm7/last"].numbers.values(), [3.0, 3.01, 2.99], strict=True):
        row["nll"] = nll
    steps = tuple(Step(f"train@{name}", (shared,), None, None) for name in names)
    own = Step("train@arm3", (shared, Reason("parameter", "arms.arm3.delta", "1", "2")), None, None)
    plan = Plan((*steps[:3], own, *steps[4:]), (), {}, (), True)
    text = comment.of_results(BASE, plan, results(branch=branch, base=base))
    whole(text)
    listed, folded = text.split("<details>")[0], folds(text)[0]
    assert re.findall(r"^\| (arm\d+)/last", listed, re.MULTILINE) == ["arm3", "arm7"]
    assert "<summary>55 more variants differ, for reasons that most arms share" in folded
    assert len(re.findall(r"^\| (arm\d+)/last", folded, re.MULTILINE)) == 55
    nothing = Plan(steps, (), {}, (), True)
    text = comment.of_results(BASE, nothing, results(branch=one(1e-7), base=base))
    assert "No arm has a change of its own, or differs significantly." in text
    assert "<summary>57 more" not in text
    assert len(re.findall(r"^\| (arm\d+)/last", folds(text)[0], re.MULTILINE)) == 57


def test_what_moved_without_a_change_of_its_arms_stands_apart():
    same = evaluation(accuracy=[0.5] * 3)
    old, new = claim(), claim("refuted")
    old, new = (one.model_copy(update={"seeds": seeds}) for one, seeds in ((old, 10), (new, 20)))
    text = comment.of_results(BASE, PLAN, results(branch=side(same, claims=[new]), base=side(same, claims=[old])))
    assert text.startswith(f"{comment.MARKER}\n## ✓ No claim regressed; no verdict changed, 1 moved without")
    assert "No verdict changed.\n" in text
    apart = text.partition("### Verdicts moved without a change of their arms")[2]
    assert "| `c`: It \\| helps. | reproduced | **refuted** | seeds: 10 → 20 |" in apart
    tables(text)


def test_text_of_others_stays_text():
    assert (
        markdown.text("a|b\n`c` <d> *e* [f] ~g~ hard_02 _h_")
        == "a\\|b \\`c\\` \\<d\\> \\*e\\* \\[f\\] \\~g\\~ hard_02 \\_h\\_"
    )
    assert markdown.text("long " * 100, 10) == "long long…"
    assert markdown.code("`") == "`` ` ``"
    assert markdown.code("a|b", in_table=True) == "`a\\|b`"
