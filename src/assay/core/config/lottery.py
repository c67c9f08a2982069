"""The section `lottery` of params.yaml: pruning rounds, each from the one before (Frankle and Carbin 2019)."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PlainValidator, field_validator, model_validator

from assay.core.config.parsing import Section

BASELINE, LOTTERY = "baseline", "lottery"
KINDS = ("conv", "linear", "output", "shortcut")
Scope = Literal["layerwise", "global"]
Control = Literal["reinit", "random", "one_shot"]
CONTROLS: tuple[Control, ...] = get_args(Control)


def fractions_of(value: Any) -> dict[str, float]:
    """The share of the surviving weights that a round prunes, by the kind of layer; a kind left out is never pruned.

    One number stands for all kinds and half of it for the output layer, as in section 2 of the paper.

    Raises:
        ValueError: a kind is unknown, or a fraction does not lie between 0 and 1.
    """
    key, by_kind = "lottery.prune_fraction", isinstance(value, dict)
    given: dict[str, Any] = dict(value) if by_kind else dict.fromkeys(KINDS, value)
    if not given:
        raise ValueError(f"{key}: names no kind of layer, so nothing would be pruned")
    for kind, fraction in given.items():
        where = f"{key}.{kind}" if by_kind else key
        if kind not in KINDS:
            raise ValueError(f"{where}: no such kind of layer; allowed: {', '.join(KINDS)}")
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction < 1:
            raise ValueError(f"{where}: got {fraction!r}; it must be a fraction above 0 and below 1")
    return given if by_kind else {**given, "output": float(Fraction(str(value)) / 2)}


class Round(Section):
    """A pruning round, and what it starts from: `baseline` for round 1, `round-<n-1>` for round n."""

    after: str


class Lottery(Section):
    """Which rounds there are and how each of them prunes; every key is required, since stages depend on it.

    Attributes:
        prune_fraction: as of `fractions_of`.
        scope: `layerwise` prunes each layer by itself; `global` ranks all layers of one fraction together.
        rewind: the step of the dense training whose weights the survivors go back to; 0 is the initial weights.
        rounds: by number, in quotes: DVC makes no stage, and says nothing, of a key that is not text.
        controls: the numbers of the rounds that train `reinit`, `random` and, from round 2, `one_shot` beside the
            ticket.
    """

    prune_fraction: Annotated[dict[str, float], PlainValidator(fractions_of)]
    scope: Scope
    rewind: int = Field(ge=0)
    rounds: dict[str, Round]
    controls: tuple[int, ...] = Field(strict=False)

    @field_validator("rounds", mode="before")
    @classmethod
    def _keys_are_numbers_in_quotes(cls, value: Any) -> Any:
        for key in value if isinstance(value, dict) else ():
            if not isinstance(key, str) or not re.fullmatch("[1-9][0-9]*", key):
                form = 'its number, from 1, in quotes, as in "1": {after: ...}'
                raise ValueError(f"lottery.rounds.{key}: a round is named by {form}")
        return value

    @model_validator(mode="after")
    def _chain(self) -> Lottery:
        for number, key in enumerate(sorted(self.rounds, key=int), start=1):
            if int(key) != number:
                raise ValueError(f"lottery.rounds.{key}: round {number} is missing before it; rounds count from 1")
            if (after := self.rounds[key].after) != (expected := round_name(number - 1)):
                raise ValueError(f"lottery.rounds.{key}.after: got {after!r}; round {key} starts from {expected}")
        for number in self.controls:
            if number not in self.numbers:
                there_are = f"the rounds go from 1 to {len(self.rounds)}" if self.rounds else "there are none"
                raise ValueError(f"lottery.controls: there is no round {number}; {there_are}")
        return self

    @property
    def numbers(self) -> range:
        """1, 2, ..., as many as there are rounds."""
        return range(1, len(self.rounds) + 1)

    @property
    def names(self) -> list[str]:
        """`round-1`, `round-2`, ..., in their order."""
        return [round_name(number) for number in self.numbers]

    def options(self, number: int) -> dict[str, Any]:
        """The method's options for a round."""
        controls = [name for name in CONTROLS if number > 1 or name != "one_shot"]  # which is the ticket of round 1
        return {
            "round": number,
            "after": round_name(number - 1),
            **self.model_dump(include={"prune_fraction", "scope", "rewind"}),
            "controls": controls if number in self.controls else [],
        }


NO_ROUNDS = Lottery(prune_fraction={"linear": 0.2}, scope="layerwise", rewind=0, rounds={}, controls=())


def round_name(number: int) -> str:
    """The name of a round: `round-<n>`; what the first one starts from is the baseline."""
    return f"round-{number}" if number else BASELINE
