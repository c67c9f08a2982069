"""What to use: a few lines for a team that has to choose, each with what it gains and what it costs.

Networks are chosen on the validation set; the differences that are told are those on the test set, so choosing among
many does not flatter them. Only what is to be dropped is read off the test set, since nothing is chosen there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.analysis.statistics import paired_difference
from assay.core.config import BASELINE
from assay.report import numbers
from assay.report.content import ROUND, family
from assay.report.summary import compared_costs
from assay.report.tables import label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.report.content import Content
    from assay.report.summary import Row

MEASURED = 1e-9  # relative: costs that differ by less are equal
FIVE = 5  # times: what teams ask of a cheaper network
MOST_NAMED = 6


class Gap(NamedTuple):
    """A difference on the test set with the ends of its 95 % interval; None where it cannot be estimated."""

    value: float | None
    low: float | None
    high: float | None

    def told(self, scale: int = 100, places: int = 2, unit: str = " points") -> str:
        """`+0.157 [+0.109, +0.205] points`: rounded as the interval's half-width supports, else to these places."""
        value, low, high = (None if end is None else scale * end for end in self)
        if low is None or high is None:
            return numbers.signed(value, places) + unit
        places = numbers.decimals([(high - low) / 2], places)
        return f"{numbers.signed(value, places)} {numbers.interval(low, high, places)}{unit}"


class Candidate(NamedTuple):
    """A variant among which is chosen; `name` is as in tables, and `validation` as in `VariantRecord`.

    It is a `control` if no claim is about its arm; of a pruning round, about this variant of any round. `train` is the
    training cost as a multiple of the baseline's, `infer` that of a prediction; they are counted, not timed.
    """

    row: Row
    name: str
    validation: tuple[float, float] | None
    control: bool
    train: float
    infer: float

    @property
    def gap(self) -> Gap:
        """Its accuracy minus that of the baseline."""
        return Gap(self.row.difference, self.row.difference_low, self.row.difference_high)

    @property
    def percent(self) -> str:
        """Its accuracy."""
        return f"{numbers.fixed(100 * self.row.accuracy, 2)} %"

    @property
    def cost(self) -> str:
        """What it costs, as multiples of the baseline."""
        return f"for {_times(self.train)} the training and {_times(self.infer)} the inference"


Difference = Callable[[str, Candidate, Candidate], Gap]


def candidates(content: Content) -> list[Candidate]:
    """Every variant that was trained on the labels as they are, the baseline's first one first."""
    rows = content.clean()
    base = next((row for row in rows if row.arm == BASELINE), None)
    if base is None:
        return []
    named, costs = content.named("arm"), compared_costs(rows)
    found = []
    for row in rows:
        control = bool(named) and family(row.arm, row.variant) not in named
        pairs = [[one.of(key) for one in (row, base)] for key in costs]
        times = [own / reference if own is not None and reference else math.nan for own, reference in pairs]
        found.append(Candidate(row, label(content.rows, row), content.variant(row).validation, control, *times))
    return found


def advise(content: Content, found: Sequence[Candidate]) -> dict[str, str]:
    """The answers about a comparison, of its candidates, as `answers` gives them."""

    def difference(metric: str, *pair: Candidate) -> Gap:
        sides = [content.evaluations[one.row.arm] for one in pair]
        given = [side.predictions[one.row.variant] for side, one in zip(sides, pair, strict=True)]
        made = paired_difference(metric, *given, *(side.record.seeds for side in sides))  # type: ignore[arg-type]
        return Gap(made.value, *(made.interval() or (None, None)))

    return answers(found, content.sparsity, content.matters, difference)


def answers(
    found: Sequence[Candidate], sparsity: Sequence[Mapping[str, Any]], matters: float, difference: Difference
) -> dict[str, str]:
    """By each question that a team has, the answer, in which `code` and **bold** are marked as in Markdown.

    Of the candidates the baseline stands first; `difference` is the first minus the second on the test set.
    """
    if len(found) < 2:
        return {}
    drop, base = {"To drop": _drop(found, matters, difference)}, found[0]
    if base.validation is None:
        return {"What to use": "Nothing was validated (`data.validation: 0`), so nothing can be chosen."} | drop
    cheap = [one for one in found if one.train <= 1 + MEASURED and one.infer <= 1 + MEASURED and one.row.members == 1]
    best, dearest = _best(cheap) or base, _best(found) or base
    same = "The same: nothing that costs more is better on validation."
    return {
        "At no more training than the baseline": _accurate(best, base, cheap),
        "At any cost": same if dearest is best else _accurate(dearest, base, found),
        "Cheaper to run, without loss": _cheaper(found, sparsity, base.validation[0] - matters, matters),
        "Best calibrated": _calibrated(found, difference),
    } | drop


def note(found: Sequence[Candidate]) -> str:
    """What the lines stand on, in a sentence or two."""
    seeds = max((one.row.seeds for one in found), default=0)
    return (
        f"Chosen by the validation set among {len(found)} variants, so first places may be luck. Differences are to "
        f"the baseline, on the test set, with 95 % intervals, each alone, over up to {seeds} seeds. Costs are counted, "
        "unless said to be measured. None of this is a claim of a paper."
    )


def _best(found: Sequence[Candidate]) -> Candidate | None:
    """The highest validation accuracy, of equal ones the lower loss, then the first."""
    known = [one for one in found if one.validation]
    return max(known, key=lambda one: (one.validation[0], -one.validation[1]), default=None)  # type: ignore[index]


def _accurate(best: Candidate, base: Candidate, among: Sequence[Candidate]) -> str:
    if best is base:
        return f"**Keep the baseline** ({best.percent}): nothing at this cost is better on validation."
    _, low, high = best.gap
    if low is None or high is None or not low > 0:
        found = "worse" if high is not None and high < 0 else "not shown to be better"
        first = f"`{best.name}` is first on validation, but on the test set it is {found}"
        return f"**Keep the baseline** ({base.percent}): {first}, {best.gap.told()}."
    text = f"**`{best.name}`** ({best.percent}): {best.gap.told()}, {best.cost}."
    if best.control:
        text += " It is a control, not what a paper proposes"
        rival = _best([one for one in among if not one.control and one is not base])
        text += f"; the best of the tested methods is `{rival.name}`, {rival.gap.told()}, {rival.cost}" if rival else ""
        text += "."
    return text


def _cheaper(found: Sequence[Candidate], sparsity: Sequence[Mapping[str, Any]], least: float, matters: float) -> str:
    loss = numbers.amount(100 * matters, "points")
    able = [one for one in found if one.infer < 1 - MEASURED and one.validation and one.validation[0] >= least]
    if not able:
        return f"None: every network that is cheaper to run loses more than {loss} on validation."
    smallest = min(able, key=lambda one: (one.infer, -one.validation[0]))  # type: ignore[index]
    low, fewer = smallest.gap.low, 1 / smallest.infer if smallest.infer else math.inf
    kept = "ruled out" if low is not None and low > -matters else "not ruled out"
    text = (
        f"**`{smallest.name}`**: {numbers.fixed(fewer, 1)} times fewer operations a prediction by count, "
        f"{smallest.gap.told()} (a loss of {loss} is {kept}), for {_times(smallest.train)} the training."
    )
    measured = {f"{ROUND}{one['round']}": one["latency_ms"] for one in reversed(sparsity)}
    speeds: dict[str, dict[str, float]] = {}  # by batch, how many times faster the sparse network is than the dense
    for one in able:
        if one.row.density < 1 and (time := measured.get(one.row.arm)):
            speeds[one.name] = {batch: dense / time["sparse"][batch] for batch, dense in time["dense"].items()}
    own = speeds.get(smallest.name)
    if not own:
        return f"{text} Its time was not measured (`make bench-sparse` measures pruned networks)."
    told = ", ".join(f"{_pace(speed)} at batch {batch}" for batch, speed in own.items())
    text += f" **Measured, it is {told}**{'; it saves memory, not time' if max(own.values()) <= 1 else ''}."
    speed, name, batch = max((speed, name, batch) for name, each in speeds.items() for batch, speed in each.items())
    if speed >= FIVE:
        return f"{text} The fastest, `{name}`, was measured {_pace(speed)} at batch {batch}."
    fastest = f"the fastest is `{name}`, {_pace(speed)} at batch {batch}"
    return (
        f"{text} {FIVE} times faster, measured: none; {fastest if speed > 1 else 'no sparse network beats the dense'}."
    )


def _calibrated(found: Sequence[Candidate], difference: Difference) -> str:
    base, best = found[0], min((one for one in found if one.validation), key=lambda one: one.validation[1])  # type: ignore[index]
    ece = f"ECE {numbers.fixed(100 * best.row.ece, 2)} %"
    if best is base:
        return f"**The baseline** ({ece}): nothing has a lower loss on validation."
    nll, gap = difference("nll", best, base), difference("ece", best, base)
    return (
        f"**`{best.name}`**, with the lowest validation loss: {ece} ({gap.told()}), NLL "
        f"{numbers.fixed(best.row.nll, 4)} ({nll.told(1, 4, '')}), {best.cost}."
    )


def _drop(found: Sequence[Candidate], matters: float, difference: Difference) -> str:
    """Which arms to drop: an arm counts by its best variant, and is listed under the first reason that applies."""
    base, failed, worse, beaten, nothing = found[0], [], [], [], []
    for arm in dict.fromkeys(one.row.arm for one in found if one.row.arm != BASELINE):
        own = [one for one in found if one.row.arm == arm]
        best = _best(own) or own[0]
        value, low, high = best.gap
        if all(one.row.above_majority is False for one in own):
            failed.append(f"`{arm}` ({best.percent})")
        elif best.control or low is None or high is None:
            continue
        elif high < 0 and best.train >= 1 - MEASURED and best.infer >= 1 - MEASURED:
            worse.append((value or 0, f"`{arm}` ({numbers.signed(100 * (value or 0), 2)})"))
        elif high < 0 and (rival := _beats(best, found, difference)):
            beaten.append(f"`{arm}` (by `{rival.name}`)")
        elif -matters < low and high < matters:
            nothing.append(f"`{arm}`")
    told = []
    for reason, names in (
        ("No better than always answering the largest class", failed),
        ("Worse than the baseline at no less cost", [text for _, text in sorted(worse)]),
        ("Worse than the baseline, and beaten by another arm at no more cost", beaten),
        (f"Changed nothing (less than {numbers.amount(100 * matters, 'points')} either way)", nothing),
    ):
        if names:
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            told.append(f"{reason}: {', '.join(names[:MOST_NAMED])}{more}.")
    return " ".join(told) or f"Nothing is shown to be worse than the baseline ({base.percent}), or equal to it."


def _beats(one: Candidate, found: Sequence[Candidate], difference: Difference) -> Candidate | None:
    """The most accurate other arm's variant that costs no more and is better beyond doubt; None where there is none."""
    rivals = [
        other
        for other in found
        if other.row.arm != one.row.arm
        and other.row.accuracy > one.row.accuracy
        and other.train <= one.train * (1 + MEASURED)
        and other.infer <= one.infer * (1 + MEASURED)
    ]
    best = sorted(rivals, key=lambda other: -other.row.accuracy)[:3]
    return next((rival for rival in best if (difference("accuracy", rival, one).low or 0) > 0), None)


def _times(value: float) -> str:
    return f"{numbers.fixed(value, 1)} ×" if math.isfinite(value) else "an unknown multiple of"


def _pace(speed: float) -> str:
    return f"{numbers.fixed(speed, 1)} times faster" if speed >= 1 else f"{numbers.fixed(1 / speed, 1)} times slower"
