"""The sections `data`, `model` and `train` of params.yaml, and an entry under `arms`."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from assay.core.config.parsing import Section

FOLDER = "folder"  # the catalogue's entry for the user's own images
T = TypeVar("T")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("each must stand once; one that stands twice trains the same network twice")
    return values


Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, strict=False), AfterValidator(_distinct)]
Rates = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=2, strict=False), AfterValidator(_distinct)
]
Beta = Annotated[float, Field(ge=0, lt=1)]


class Data(Section):
    """Which data set, how much of its training set is held out for validation, and how batches are augmented.

    `assay.data.catalog` knows the names, which no training has to.
    """

    name: str
    validation: int = Field(ge=0)
    augment: Literal["none", "crop", "crop_flip"] = "none"
    split_seed: int = Field(default=0, ge=0)
    side: int | None = Field(default=None, ge=4, le=1024)
    digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _folder_keys(self) -> Data:
        if self.name == FOLDER and self.side is None:
            raise ValueError("data.side: missing; a folder of images needs the side, in pixels, to resize them to")
        for key in ("side", "digest"):
            if self.name != FOLDER and getattr(self, key) is not None:
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
    betas: tuple[Beta, Beta] = Field(default=(0.9, 0.999), strict=False)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)


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
    """The budget that every arm shares, unless it overrides a part of it.

    Attributes:
        tune: the grid from which each arm that trains by gradients chooses its learning rate, in place of the
            optimizer's `lr`; all such arms have the same grid, or none has one.
    """

    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    optimizer: Optimizer
    schedule: Schedule = Constant(name="constant")
    evaluate_every: int = Field(ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    tune: Tune | None = None

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Train:
        if self.schedule.warmup_steps >= self.steps:
            raise ValueError(f"schedule.warmup_steps is {self.schedule.warmup_steps}; it must be less than steps")
        return self


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
        """The keys of `train` that it sets for itself."""
        return {key: value for key, value in (self.model_extra or {}).items() if key in Train.model_fields}

    def options(self) -> dict[str, Any]:
        """The keys that belong to the method."""
        return {key: value for key, value in (self.model_extra or {}).items() if key not in Train.model_fields}


ARM_KEYS = (*Arm.model_fields, *Train.model_fields)
