"""The sections `data` and `model` of params.yaml, and an entry under `arms`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from assay.core.config.budget import Train
from assay.core.config.parsing import Section
from assay.core.plain import text_of, yaml_of

Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, strict=False)]
ARM_KEYS = ("method", "seeds", "model", "label_noise", *Train.model_fields)
# read, not imported: no training depends on it, so an entry that is added retrains nothing
CATALOG = Path(__file__).parents[2] / "data/catalog.yaml"
FOLDER = "folder"  # the entry for the user's own images


@cache
def catalog() -> dict[str, dict[str, Any]]:
    """The entries of the catalogue of data sets, by name."""
    return dict(yaml_of(text_of(CATALOG), str(CATALOG)))


class Data(Section):
    """Which data set, how much of its training set is held out for validation, and how batches are augmented."""

    name: str
    validation: int = Field(ge=0)
    augment: Literal["none", "crop", "crop_flip"] = "none"
    split_seed: int = Field(default=0, ge=0)
    side: int | None = Field(default=None, ge=4, le=1024)
    digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @field_validator("name")
    @classmethod
    def _in_the_catalog(cls, value: str) -> str:
        if value not in catalog():
            *others, last = map(repr, catalog())
            raise ValueError(f"it should be {', '.join(others)} or {last}")
        return value

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
