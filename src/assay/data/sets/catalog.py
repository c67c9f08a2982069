"""The published data sets: shapes, counts, class names, files and digests, known before any byte is there.

The entries are in `src/assay/data/catalog.yaml`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from assay.core.config import PARAMS_FILE
from assay.core.config.parsing import parse
from assay.core.config.sections import CATALOG, FOLDER, catalog
from assay.core.errors import AssayError
from assay.data.sets.images import Images

if TYPE_CHECKING:
    from assay.core.config import Data


class DataSet(BaseModel):
    """A published data set; catalog.yaml says what its fields are. `name` is that in params.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    shape: tuple[int, int, int]
    train: int
    test: int
    class_names: tuple[str, ...]
    layout: Literal["idx", "cifar10", "cifar100", "stl10"]
    files: dict[str, str]
    official: str | None = None
    package: str | None = None

    @property
    def images(self) -> Images:
        """The shape of an image and the number of classes."""
        return Images(*self.shape, len(self.class_names))


DATA_SETS: dict[str, DataSet] = {
    name: parse(DataSet, {"name": name, **entry}, str(CATALOG), f"{name}.")
    for name, entry in catalog().items()
    if name != FOLDER
}


def images_of(data: Data) -> Images | None:
    """The shape of an image and the number of classes; None for a folder, whose classes are not known beforehand."""
    return DATA_SETS[data.name].images if data.name in DATA_SETS else None


def training_examples(data: Data) -> int | None:
    """Number of examples that the validation set leaves to train on; None for a folder."""
    return DATA_SETS[data.name].train - data.validation if data.name in DATA_SETS else None


def check(data: Data, examples: int | None = None) -> None:
    """Check that the validation set is smaller than the training set of `examples` images.

    By default, `examples` is the catalogue's number; of a folder nothing is known then, and all passes.

    Raises:
        AssayError: it is not; the line names the key.
    """
    if examples is None and data.name in DATA_SETS:
        examples = DATA_SETS[data.name].train
    if examples is not None and data.validation >= examples:
        raise AssayError(
            f"{PARAMS_FILE}: data.validation: got {data.validation}; it must be less than the {examples} training "
            f"images of {data.name}"
        )
