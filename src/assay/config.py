"""params.yaml as typed, frozen models: every knob a user turns, and one clear line for every one turned wrong.

The file is parsed as YAML 1.2, as DVC parses it (so `1e-3` is a number to both). A stage sees only the sections that
it asks `read` for; the names it asks for are the `params` that dvc.yaml must declare, and a test compares the two.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML, YAMLError

from assay.errors import AssayError
from assay.parsing import parse, problem_lines, suggestion

PARAMS_FILE = Path("params.yaml")
BASELINE = "baseline"
NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"


class Section(BaseModel):
    """A part of params.yaml: frozen, and an unknown key or a value of another type is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


class Data(Section):
    """Which data set, how much of its training set is held out for validation, and how batches are augmented."""

    name: Literal["mnist", "fashion_mnist", "cifar10", "cifar100", "stl10", "digits", "folder"]
    validation: int = Field(ge=0)
    augment: Literal["none", "crop", "crop_flip"] = "none"
    split_seed: int = Field(default=0, ge=0)
    size: int | None = Field(default=None, ge=4, le=1024)
    digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _folder_keys(self) -> Data:
        if self.name == "folder" and self.size is None:
            raise ValueError("data.size: missing; a folder of images needs the side, in pixels, to resize them to")
        for key in ("size", "digest"):
            if self.name != "folder" and getattr(self, key) is not None:
                raise ValueError(f"data.{key}: only a data set named folder takes it, not {self.name}")
        return self


class Model(BaseModel):
    """An architecture by name, with its own arguments beside it (`assay.models` checks them)."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

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

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> SGD:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class Adam(Section):
    """Adam (Kingma and Ba 2015), or with decoupled weight decay AdamW (Loshchilov and Hutter 2019)."""

    name: Literal["adam", "adamw"]
    lr: float = Field(gt=0)
    betas: tuple[float, float] = Field(default=(0.9, 0.999), strict=False)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)

    @field_validator("betas")
    @classmethod
    def _in_unit_interval(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError("both must lie in [0, 1)")
        return value


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


class Train(Section):
    """The budget that every arm shares, unless it overrides a part of it in the open."""

    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    optimizer: Optimizer
    schedule: Schedule = Constant(name="constant")
    evaluate_every: int = Field(ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Train:
        if self.schedule.warmup_steps >= self.steps:
            raise ValueError(f"schedule.warmup_steps is {self.schedule.warmup_steps}; it must be less than steps")
        return self


class Claim(Section):
    """What a paper says of one variant against another, in a form that seeds and test examples can decide."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    paper: str
    statement: str
    arm: str
    against: str
    metric: Literal["accuracy", "nll", "brier", "ece"]
    verdict: Literal["better", "not_worse"]
    margin: float = Field(default=0.0, ge=0)
    differs_from_paper: str = ""


Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, strict=False)]


ARM_KEYS = ("method", "seeds", "model", "label_noise", *Train.model_fields)


class Arm(BaseModel):
    """An entry under `arms`: a method, the parts of `train`, `model` and `seeds` it overrides, and its own options.

    Attributes:
        label_noise: the share of training labels that are replaced by random classes; validation and test stay clean.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    method: str
    seeds: Seeds | None = None
    model: Model | None = None
    label_noise: float = Field(default=0.0, ge=0, le=1)

    def overrides(self) -> dict[str, Any]:
        """The keys of `train` that this arm sets for itself."""
        return {key: value for key, value in (self.model_extra or {}).items() if key in Train.model_fields}

    def options(self) -> dict[str, Any]:
        """The keys that belong to the method."""
        return {key: value for key, value in (self.model_extra or {}).items() if key not in Train.model_fields}


class Params(Section):
    """The whole of params.yaml."""

    seeds: Seeds
    data: Data
    model: Model
    train: Train
    arms: dict[Annotated[str, Field(pattern=NAME_PATTERN)], Arm] = {}
    claims: tuple[Claim, ...] = Field(default=(), strict=False)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _distinct_seeds(value)

    @model_validator(mode="after")
    def _arms_and_claims(self) -> Params:
        for name, arm in self.arms.items():
            if name == BASELINE:
                raise ValueError(f"arms.{name}: the name is taken by the pipeline itself; choose another")
            if arm.seeds is not None:
                _distinct_seeds(arm.seeds, f"arms.{name}.")
            train_of(self.train, arm, name)
        known = [BASELINE, *self.arms]
        for claim in self.claims:
            for side in ("arm", "against"):
                arm_name = split_variant(getattr(claim, side))[0]
                if arm_name not in known:
                    raise ValueError(f"claims.{claim.id}.{side}: no arm {arm_name!r}; there are {', '.join(known)}")
        identifiers = [claim.id for claim in self.claims]
        if len(set(identifiers)) < len(identifiers):
            twice = next(name for name in identifiers if identifiers.count(name) > 1)
            raise ValueError(f"claims: the id {twice!r} stands twice; give each claim its own")
        return self

    def runs(self) -> list[Run]:
        """Every training that the file asks for: the baseline, then the arms."""
        arms = [arm_run(name, arm, self.seeds, self.model, self.train) for name, arm in self.arms.items()]
        return [baseline_run(self.seeds, self.model, self.train), *arms]


class Run(Section):
    """What one training needs to know, every override applied: the parameters as resolved for an arm."""

    arm: str
    method: str
    seeds: tuple[int, ...]
    model: Model
    train: Train
    label_noise: float = 0.0
    options: dict[str, Any]


def baseline_run(seeds: tuple[int, ...], model: Model, train: Train) -> Run:
    """The baseline: plain gradient training under the shared budget."""
    return Run(arm=BASELINE, method="sgd", seeds=seeds, model=model, train=train, options={})


def arm_run(name: str, arm: Arm, seeds: tuple[int, ...], model: Model, train: Train) -> Run:
    """An arm with every override applied."""
    return Run(
        arm=name,
        method=arm.method,
        seeds=arm.seeds or seeds,
        model=arm.model or model,
        train=train_of(train, arm, name),
        label_noise=arm.label_noise,
        options=arm.options(),
    )


class Settings:
    """The sections of params.yaml that a stage asked for; touching another is a programming error."""

    def __init__(self, params: Params, names: tuple[str, ...]) -> None:
        self._params, self._names = params, names

    def _get(self, name: str) -> Any:
        if name not in self._names:
            raise AttributeError(
                f"{name!r} was not asked for: add it to read(...) and to the stage's params in dvc.yaml"
            )
        return getattr(self._params, name)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds: one network each."""
        return self._get("seeds")  # type: ignore[no-any-return]

    @property
    def data(self) -> Data:
        """The data set."""
        return self._get("data")  # type: ignore[no-any-return]

    @property
    def model(self) -> Model:
        """The architecture."""
        return self._get("model")  # type: ignore[no-any-return]

    @property
    def train(self) -> Train:
        """The shared budget."""
        return self._get("train")  # type: ignore[no-any-return]

    @property
    def arms(self) -> dict[str, Arm]:
        """All arms, by name."""
        return self._get("arms")  # type: ignore[no-any-return]

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims to decide."""
        return self._get("claims")  # type: ignore[no-any-return]

    def baseline(self) -> Run:
        """The baseline as a run: plain gradient training under the shared budget."""
        return baseline_run(self.seeds, self.model, self.train)

    def arm(self, name: str) -> Run:
        """An arm as a run, its overrides applied.

        Raises:
            AssayError: there is no such arm.
        """
        if name not in self.arms:
            raise AssayError(f"{PARAMS_FILE}: arms: no arm {name!r}; {suggestion(name, list(self.arms))}")
        return arm_run(name, self.arms[name], self.seeds, self.model, self.train)


def read(*names: str, path: Path = PARAMS_FILE) -> Settings:
    """Read and check the whole file; hand out the sections named.

    Raises:
        AssayError: the file is missing, is not YAML, or holds an unknown key or a bad value; one line each.
    """
    return Settings(load(path), names)


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check params.yaml.

    Raises:
        AssayError: as `read`.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise AssayError(f"{path}: not found; run this in the folder that holds it") from None
    except YAMLError as error:
        raise AssayError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    return parse(Params, content, str(path))


def train_of(train: Train, arm: Arm, name: str) -> Train:
    """The shared budget with an arm's overrides in place; an optimizer or schedule is replaced as a whole.

    Raises:
        ValueError: an override is not a valid value; the message names the key under `arms`.
    """
    try:
        return Train.model_validate({**dict(train), **arm.overrides()})
    except ValidationError as error:
        raise ValueError("\n".join(problem_lines(Train, error, f"arms.{name}."))) from None


def split_variant(name: str) -> tuple[str, str | None]:
    """`line/midpoint` as arm and variant; the variant is None where only an arm is named (its first is meant)."""
    arm, _, variant = name.partition("/")
    return arm, variant or None


def _distinct_seeds(value: tuple[int, ...], prefix: str = "") -> tuple[int, ...]:
    if len(set(value)) < len(value):
        raise ValueError(f"{prefix}seeds: each must stand once; a seed that stands twice trains the same network twice")
    return value
