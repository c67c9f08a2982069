"""The sections `data`, `model`, `train` and `lottery` of params.yaml, and an entry under `arms`."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args

from pydantic import AfterValidator, Field, PlainValidator, field_validator, model_validator

from assay.core.config.parsing import Section

BASELINE, LOTTERY = "baseline", "lottery"
KINDS = ("conv", "linear", "output", "shortcut")
Scope = Literal["layerwise", "global"]
Control = Literal["reinit", "random", "one_shot"]
CONTROLS: tuple[Control, ...] = get_args(Control)
OF_FOLDER = ("side", "fit", "channels", "test", "digest")
FOLDER = "folder"  # the catalogue's entry for the user's own images


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("each must stand once; one that stands twice trains the same network twice")
    return values


Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, strict=False), AfterValidator(_distinct)]
Rates = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=2, strict=False), AfterValidator(_distinct)
]
Beta = Annotated[float, Field(ge=0, lt=1)]
LEAST_SIDE, GREATEST_SIDE = 4, 1024


def _side(value: Any) -> int | tuple[int, int] | None:
    sides = value if isinstance(value, list | tuple) else [value]
    if value is None:
        return None
    if (isinstance(value, list | tuple) and len(value) != 2) or any(type(side) is not int for side in sides):
        raise ValueError("it should be a number of pixels, or [height, width]")
    if not all(LEAST_SIDE <= side <= GREATEST_SIDE for side in sides):
        raise ValueError(f"it should be from {LEAST_SIDE} to {GREATEST_SIDE} pixels")
    return sides[0] if sides[0] == sides[-1] else (sides[0], sides[1])


def augment_of(value: Any) -> str | tuple[str | dict[str, dict[str, Any]], ...]:
    """The name of a transform, or several in order, each a name or `{name: {argument: value}}`.

    Which names and arguments there are, `assay.data.sets.augment` knows.

    Raises:
        ValueError: it has another form.
    """
    form = "an entry is the name of a transform, or {name: {argument: value, ...}}"
    if isinstance(value, str):
        return value
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"give the name of a transform, or a list of them in order; {form}")
    entries: list[str | dict[str, dict[str, Any]]] = []
    for entry in value:
        if isinstance(entry, str):
            entries.append(entry)
            continue
        if not isinstance(entry, dict) or len(entry) != 1:
            raise ValueError(f"{entry!r} is no entry; {form}")
        [(name, arguments)] = entry.items()
        named = isinstance(name, str) and isinstance(arguments, dict | None)
        if not named or not all(isinstance(key, str) for key in arguments or ()):
            raise ValueError(f"{entry!r} is no entry; {form}")
        entries.append({name: dict(arguments or {})})
    return tuple(entries)


Augment: TypeAlias = Annotated[Any, PlainValidator(augment_of)]
# Which parameters weight decay acts on: `weights` leaves out biases, norms and what else has no more than one
# dimension. A key that has its default is left out of manifests, as before there was such a key.
Decay = Annotated[Literal["all", "weights"], Field(exclude_if=lambda value: value == "all")]


class Data(Section):
    """Which data set, how much of its training set is held out for validation, and how batches are augmented.

    `assay.data.catalog` knows the names, which no training has to. OF_FOLDER are keys of the user's own images alone.
    """

    name: str
    validation: int = Field(ge=0)
    augment: Augment = "none"
    split_seed: int = Field(default=0, ge=0)
    side: Annotated[int | tuple[int, int] | None, PlainValidator(_side)] = None  # in pixels; height and width, or both
    fit: Literal["crop", "pad", "stretch"] = "crop"  # with side and channels, `assay.data.sets.images.Preparation`
    channels: Literal[1, 3] = 3
    test: int = Field(default=0, ge=0)  # images held out as the test set, where the source has none
    digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _folder_keys(self) -> Data:
        if self.name == FOLDER and self.side is None:
            raise ValueError("data.side: missing; a folder of images needs the side, in pixels, to resize them to")
        for key in OF_FOLDER:
            if self.name != FOLDER and key in self.model_fields_set and getattr(self, key) is not None:
                raise ValueError(f"data.{key}: only a data set named folder takes it, not {self.name}")
        return self


class Model(Section, extra="allow"):
    """An architecture by name, with its own arguments beside it (`assay.models` checks them)."""

    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


class SGD(Section):
    """Stochastic gradient descent, with momentum."""

    name: Literal["sgd"]
    lr: float = Field(gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=0.0, ge=0)
    decay: Decay = "all"

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> SGD:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return _decaying(self)


class Adam(Section):
    """Adam (Kingma and Ba 2015), or with decoupled weight decay AdamW (Loshchilov and Hutter 2019)."""

    name: Literal["adam", "adamw"]
    lr: float = Field(gt=0)
    betas: tuple[Beta, Beta] = Field(default=(0.9, 0.999), strict=False)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    decay: Decay = "all"

    @model_validator(mode="after")
    def _something_decays(self) -> Adam:
        return _decaying(self)


AnyOptimizer = TypeVar("AnyOptimizer", SGD, Adam)


def _decaying(optimizer: AnyOptimizer) -> AnyOptimizer:
    if optimizer.decay != "all" and not optimizer.weight_decay:
        raise ValueError("decay has no effect where weight_decay is 0; raise weight_decay, or leave decay out")
    return optimizer


class Constant(Section):
    """The learning rate stays."""

    name: Literal["constant"]
    warmup_steps: int = Field(default=0, ge=0)


class Step(Section):
    """The learning rate is multiplied by `factor` at each step listed under `at`."""

    name: Literal["step"]
    at: tuple[int, ...] = Field(min_length=1, strict=False)
    factor: float = Field(default=0.1, gt=0)
    warmup_steps: int = Field(default=0, ge=0)

    @field_validator("at")
    @classmethod
    def _increasing(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value[0] < 1 or any(later <= earlier for earlier, later in pairwise(value)):
            raise ValueError("must be steps from 1 upwards, each later than the one before")
        return value


class Cosine(Section):
    """The learning rate falls along half a cosine to `final` times its start."""

    name: Literal["cosine"]
    final: float = Field(default=0.0, ge=0, le=1)
    warmup_steps: int = Field(default=0, ge=0)


Optimizer = Annotated[SGD | Adam, Field(discriminator="name")]
Schedule = Annotated[Constant | Step | Cosine, Field(discriminator="name")]


class Tune(Section):
    """A grid: the arm trains at each learning rate, with all its seeds, and validation chooses (`methods.Training`)."""

    lr: Rates


class Train(Section):
    """The budget that every arm shares, unless it overrides a part of it."""

    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    optimizer: Optimizer
    schedule: Schedule = Constant(name="constant")
    evaluate_every: int = Field(ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    tune: Tune | None = None  # in place of the optimizer's `lr`; all arms that train by gradients have one, or none has
    # factor of the learning rate of all but the output layer; 0 freezes it. None: one rate, and no key in manifests
    backbone_lr: float | None = Field(default=None, ge=0, le=1, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Train:
        if self.schedule.warmup_steps >= self.steps:
            raise ValueError(f"schedule.warmup_steps is {self.schedule.warmup_steps}; it must be less than steps")
        return self


class Arm(Section, extra="allow"):
    """An entry under `arms`: a method and what it overrides; other keys are parts of `train` or the method's own."""

    method: str
    seeds: Seeds | None = None
    model: Model | None = None
    augment: Augment | None = None  # in place of the data's
    label_noise: float = Field(default=0.0, ge=0, le=1)  # share of training labels, alone, that become random classes


ARM_KEYS = (*Arm.model_fields, *Train.model_fields)


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


NO_ROUNDS = {"prune_fraction": {"linear": 0.2}, "scope": "layerwise", "rewind": 0, "rounds": {}, "controls": ()}


class Lottery(Section):
    """Which rounds there are and how each of them prunes; with rounds every key is required: their stages have it."""

    prune_fraction: Annotated[dict[str, float], PlainValidator(fractions_of)]
    scope: Scope  # `layerwise` prunes each layer by itself; `global` ranks all layers of one fraction together
    rewind: int = Field(ge=0)  # the step of the dense training to whose weights survivors go back; 0: the initial ones
    rounds: dict[str, Round]  # by number, in quotes: DVC makes no stage, and says nothing, of a key that is not text
    controls: tuple[int, ...] = Field(strict=False)  # rounds that train `reinit`, `random` and `one_shot` (from 2) too

    @model_validator(mode="before")
    @classmethod
    def _without_rounds(cls, content: Any) -> Any:
        return {**NO_ROUNDS, **content} if isinstance(content, dict) and not content.get("rounds") else content

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


def round_name(number: int) -> str:
    """The name of a round: `round-<n>`; what the first one starts from is the baseline."""
    return f"round-{number}" if number else BASELINE
