"""The one picture: the interval of every claim that was tested, against what matters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.report import numbers, svg, verdicts
from assay.report.content import paper
from assay.report.figure import Figure
from assay.report.verdicts import standing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assay.analysis.claims import ClaimRecord
    from assay.report.content import Content
    from assay.report.verdicts import Standing

NAME = "claims"
WIDTH, NARROW, ROW, TOP, BOTTOM, RIGHT = 760, 380, 19, 62, 42, 108
CHARACTER, MOST_CHARACTERS = 6.4, 44  # pixels, and so many of a claim's name are shown
REACH = 5  # what lies farther from 0 stands at the end, as an arrow
LOOKS = {"reproduced": (1, 1), "refuted": (2, 2), "negligible": (3, 3), "undecided": (0, 4)}  # colour and marker


def figure(content: Content) -> Figure | None:
    """The picture; None where no claim was tested."""
    found = tested(content)
    if not found:
        return None
    return Figure(
        NAME,
        "Every claim against what matters",
        "A line is a claim, its bar the interval that decides, in the claim's direction and divided by the smallest "
        "difference that matters; ratios by the logarithm of their bound. Shaded: the claim is true. Dashed: what "
        "matters. A refuted bar ends before the dashed line (in a claim of no loss, before the shade), a negligible "
        f"one lies in the shade and ends before the dashed line. An arrow: farther than {REACH}.",
        [Picture(found)],
        {},
        columns=1,
    )


def tested(content: Content) -> list[ClaimRecord]:
    """The claims that the picture is of."""
    return [claim for claim in content.claims if verdicts.tested(claim)]


@dataclass(frozen=True)
class Picture:
    """The claims by paper: a line each, or on a narrow screen two, the name above its bar."""

    claims: Sequence[ClaimRecord]
    narrow: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """In pixels."""
        lines = len(self.claims) * (2 if self.narrow else 1) + len({claim.paper for claim in self.claims})
        return NARROW if self.narrow else WIDTH, TOP + ROW * lines + BOTTOM

    def draw(self) -> str:
        """The picture as an `<svg>` element."""
        longest = max(len(_short(claim.id)) for claim in self.claims)
        left, right = (10.0, NARROW - 10) if self.narrow else (22 + CHARACTER * longest, WIDTH - RIGHT)
        bottom = self.size[1] - BOTTOM

        def place(value: float) -> float:
            return left + (right - left) * (min(REACH, max(-REACH, value)) + REACH) / (2 * REACH)

        title = f"{len(self.claims)} tested" if self.narrow else verdicts.headline(self.claims)
        content = [svg.text(2, 16, title, "title"), *_legend(self.claims)]
        lines, y = [], TOP + ROW / 2
        for key in dict.fromkeys(claim.paper for claim in self.claims):
            lines.append(svg.text(2, y + 4, paper(key).topic, "title"))
            for claim in (one for one in self.claims if one.paper == key):
                y += ROW
                lines += _words(claim, y, left, right, self.narrow)
                y += ROW if self.narrow else 0
                lines += _bar(claim, y, left, right, place)
            y += ROW
        for value in range(-REACH, REACH + 1):
            content += [
                svg.line(place(value), TOP, place(value), bottom, "grid"),
                svg.text(place(value), bottom + 15, numbers.fixed(value, 0), anchor="middle"),
            ]
        content += lines
        content += [
            svg.line(place(0), TOP, place(0), bottom, "s0"),
            svg.line(place(1), TOP, place(1), bottom, "s0 dash"),
            svg.text(place(0) - 5, TOP - 6, "no difference", anchor="end"),
            svg.text(place(1) - 3, TOP - 6, "what matters"),
            svg.text((left + right) / 2, bottom + 34, "gain in the claim's direction ÷ what matters", anchor="middle"),
        ]
        return svg.element(*self.size, f"{verdicts.headline(self.claims)}: each with its interval", content)


def _words(claim: ClaimRecord, y: float, left: float, right: float, narrow: bool) -> list[str]:
    """The claim's name and its verdict."""
    name, told = _short(claim.id), f"{verdicts.MARKS[claim.verdict]} {claim.verdict}"
    kind = f"f{LOOKS[claim.verdict][0]}"
    if narrow:
        ground = ("ink ground", f"{kind} ground")
        return [svg.text(left, y + 4, name, ground[0]), svg.text(right, y + 4, told, ground[1], anchor="end")]
    return [svg.text(left - 12, y + 4, name, "ink", anchor="end"), svg.text(right + 8, y + 4, told, kind)]


def _bar(claim: ClaimRecord, y: float, left: float, right: float, place: Callable[[float], float]) -> list[str]:
    """Where the claim is true, and its interval."""
    colour, shape = LOOKS[claim.verdict]
    at = standing(claim)
    if at is None:
        return [svg.text((left + right) / 2, y + 4, "no interval", anchor="middle")]
    edge = place(at.edge)
    found = [svg.path([(edge, y - 8), (right, y - 8), (right, y + 8), (edge, y + 8)], "f1 band", True)]
    found.append(svg.line(place(at.low), y, place(at.high), y, f"line s{colour}"))
    for end in (at.low, at.high):
        if abs(end) > REACH:
            tip, away = (right, 6) if end > 0 else (left, -6)
            found.append(svg.path([(tip, y - 5), (tip + away, y), (tip, y + 5)], f"f{colour}", True))
    marker = [svg.markers([(place(at.estimate), y)], colour, shape)] if abs(at.estimate) <= REACH else []
    return [*found, *marker, svg.hit(place(at.estimate), y, _tip(claim, at))]


def _legend(claims: Sequence[ClaimRecord]) -> list[str]:
    """The marker of each verdict that there is, in a row."""
    found, x = [], 8.0
    counts: Counter[str] = Counter(claim.verdict for claim in claims)
    for name, (colour, shape) in LOOKS.items():
        if counts[name]:
            found += [svg.markers([(x, 32)], colour, shape), svg.text(x + 9, 36, name)]
            x += 26 + CHARACTER * len(name)
    return found


def _tip(claim: ClaimRecord, at: Standing) -> str:
    ends = numbers.interval(at.low, at.high, 1)
    return f"{claim.id}, {claim.verdict}: {numbers.signed(at.estimate, 1)} {ends} times what matters"


def _short(name: str) -> str:
    return name if len(name) <= MOST_CHARACTERS else f"{name[: MOST_CHARACTERS - 1]}…"
