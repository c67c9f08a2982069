"""An entry under `claims` of params.yaml: what a paper says of one variant, in a form that results can decide."""

from __future__ import annotations

from itertools import pairwise
from math import isclose
from typing import Literal

from pydantic import Field, model_validator

from assay.core.config.parsing import LONGEST_NAME, Section

RECORD = "record."
CONFIDENCE = 0.95  # of intervals that stand alone
LEAST_SEEDS = 10  # of a look: with fewer the rule errs too often (benchmarks/coverage.py)


class Rule(Section):
    """The section `rule` of params.yaml: how claims are decided, fixed before results are seen."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5)  # the chance of any wrong verdict in the whole file
    # numbers of seeds at which a claim may be decided, rising; and the part of alpha that each look may spend
    looks: tuple[int, ...] = Field(default=(10, 20, 40), min_length=1, strict=False)
    shares: tuple[float, ...] = Field(default=(0.25, 0.25, 0.5), min_length=1, strict=False)
    tests: int = Field(default=40, ge=1)  # that alpha is divided among: the claims that are tested, with room for more
    matters: float = Field(default=0.002, gt=0)  # the smallest difference in accuracy that matters to most claims

    @model_validator(mode="after")
    def _looks_and_shares(self) -> Rule:
        if self.looks[0] < LEAST_SEEDS or any(later <= earlier for earlier, later in pairwise(self.looks)):
            raise ValueError(f"rule.looks: got {list(self.looks)}; give rising numbers of seeds, from {LEAST_SEEDS} on")
        if len(self.shares) != len(self.looks) or min(self.shares) <= 0 or not isclose(sum(self.shares), 1):
            raise ValueError(f"rule.shares: got {list(self.shares)}; give one above 0 for each look, which add up to 1")
        return self

    def level(self, look: int) -> float:
        """The chance of an error that one claim may spend at the look of this index, from 0."""
        return self.alpha * self.shares[look] / self.tests


class Claim(Section):
    """A claim that the arms decide, or with `preset` one that only other arms could.

    `verdict` says whether `arm` is to be `better` than `against` by more than `margin`, `not_worse` by more than it, or
    what the `ratio` of the two must be. `assay.scoring.metrics.check` says whether there is such a metric; trainings do
    not depend on that table.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=LONGEST_NAME)
    paper: str
    statement: str  # what the paper says, in a sentence
    arm: str | None = None  # a variant: `line/midpoint`, or `cyclic` for an arm's first
    against: str | None = None  # its rival; a `ratio` without one is about the metric's own value
    metric: str | None = None  # one of `METRICS`, or `record.<key>`: what the method wrote down, a number a seed
    verdict: Literal["better", "not_worse", "ratio"] | None = None
    margin: float = Field(default=0.0, ge=0)  # in the metric's own unit, as `matters`
    matters: float | None = Field(default=None, gt=0)  # of `better`: the smallest difference that does; else the rule's
    at_most: float | None = Field(default=None, gt=0)  # of a ratio
    at_least: float | None = Field(default=None, gt=0)
    more_is_better: bool | None = None  # where the table of metrics does not know the direction, or knows another
    preset: str | None = None  # the overlay of params.yaml whose arms would test it; then nothing is compared here
    differs_from_paper: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Claim:
        where = f"claims.{self.id}"
        compared = [key for key in ("arm", "against", "metric", "verdict") if getattr(self, key) is not None]
        if self.preset is not None:
            if compared:
                reason = "a claim with a preset compares nothing here; drop one of the two"
                raise ValueError(f"{where}.{compared[0]}: {reason}")
            return self
        for key in ("arm", "metric", "verdict"):
            if key not in compared:
                raise ValueError(f"{where}.{key}: missing, and required (or name the `preset` that would test it)")
        bounds = [key for key in ("at_most", "at_least") if getattr(self, key) is not None]
        is_ratio, is_better = self.verdict == "ratio", self.verdict == "better"
        for wrong, problem in (
            (self.matters is not None and not is_better, ".matters: only `verdict: better` takes it"),
            (self.matters is not None and self.matters < self.margin, ".matters: must be no less than the margin"),
            (is_ratio and len(bounds) != 1, f": a ratio needs one bound, at_most or at_least; got {len(bounds)}"),
            (is_ratio and self.margin, ".margin: a ratio has a bound and no margin"),
            (not is_ratio and bounds, f".{'/'.join(bounds)}: only `verdict: ratio` takes it, not {self.verdict}"),
            (not is_ratio and self.against is None, f".against: missing; {self.verdict} needs a rival"),
        ):
            if wrong:
                raise ValueError(f"{where}{problem}")
        return self

    @property
    def arms(self) -> dict[str, str]:
        """The variants that it names, by the key that names them."""
        return {key: name for key in ("arm", "against") if (name := getattr(self, key)) is not None}
