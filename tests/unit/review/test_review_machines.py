"""Arms that were trained on another machine than the base's: told in one line, and never a false alarm."""

from __future__ import annotations

import pytest
from test_review_comment import BASE, PLAN, results
from test_review_comparison import evaluation

from assay.review import comment
from assay.review.snapshot import Snapshot

EPYC = {"device": "cpu", "processor": "AMD EPYC", "instructions": "AVX2", "threads": 1, "torch": "2.14.1+cpu"}
H100 = {**EPYC, "device": "NVIDIA H100"}


def trained(level: float, **timings) -> Snapshot:
    return Snapshot({}, {}, dict(evaluation(name, accuracy=[level] * 3) for name in timings), timings)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (EPYC, EPYC, ""),
        (EPYC, {**EPYC, "seconds": 3, "side_by_side": 2}, ""),
        (
            EPYC,
            {**EPYC, "processor": "Intel Xeon", "instructions": "AVX512"},
            "processor `AMD EPYC` → `Intel Xeon`, instru",
        ),
        (EPYC, {**EPYC, "threads": 2}, "`a` (threads `1` → `2`)"),
        (EPYC, {**EPYC, "torch": "2.15.0+cpu"}, "`a` (torch `2.14.1+cpu` → `2.15.0+cpu`)"),
        (EPYC, H100, "`a` (device `cpu` → `NVIDIA H100`)"),
        (H100, {**H100, "processor": "Intel Xeon", "threads": 9}, ""),
        ({"seconds": 3}, EPYC, ""),
        ({"device": "cpu", "threads": 1}, EPYC, ""),
        ([], "else", ""),
        (None, EPYC, ""),
        ({**EPYC, "processor": ""}, EPYC, ""),
    ],
)
def test_another_machine_is_told_in_a_line(old, new, said):
    line = comment.elsewhere(trained(0.5, a=new), trained(0.6, a=old))
    assert said in line
    assert bool(line) is bool(said)
    assert "\n" not in line
    assert comment.elsewhere(trained(0.5, a=new), trained(0.5, a=old)) == ""  # the same results


def test_arms_that_moved_alike_share_a_sentence_and_the_line_is_in_the_comment():
    names = [f"a{number}" for number in range(30)]
    base = trained(0.6, **dict.fromkeys(names, EPYC))
    branch = trained(0.5, **{name: {**EPYC, "threads": 2} for name in names})
    text = comment.of_results(BASE, PLAN, results(branch=branch, base=base))
    (line,) = (
        one for one in text.splitlines() if one.startswith("Trained on another machine than the base's: `a0`, `a1`")
    )
    assert "`a7` and 22 more arms (threads `1` → `2`). All numbers of these arms may differ a little" in line
    each = trained(0.5, **{name: {**EPYC, "threads": 2 + number} for number, name in enumerate(names)})
    assert "and arms on 26 more kinds of machine" in comment.elsewhere(each, base)
