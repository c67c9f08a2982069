"""The published data sets: shapes, counts, class names, files and digests, known before any byte is there.

The entries are in `catalog.yaml`. No training imports this: what it needs of a data set is in data/prepared.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from assay.core.config import PARAMS_FILE
from assay.core.config.parsing import parse, suggestion
from assay.core.config.sections import FOLDER
from assay.core.errors import AssayError
from assay.core.plain import text_of, yaml_of
from assay.data.sets.images import Images

if TYPE_CHECKING:
    from assay.core.config import Data

CATALOG = Path(__file__).with_name("catalog.yaml")


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
    for name, entry in yaml_of(text_of(CATALOG), str(CATALOG)).items()
    if name != FOLDER
}


def images_of(data: Data) -> Images | None:
    """The shape of an image and the number of classes; None for a folder, whose classes are not known beforehand."""
    return DATA_SETS[data.name].images if data.name in DATA_SETS else None


def training_examples(data: Data) -> int | None:
    """Number of examples that the validation set leaves to train on; None for a folder."""
    return DATA_SETS[data.name].train - data.validation if data.name in DATA_SETS else None


def check(data: Data, examples: int | None = None) -> None:
    """Check that there is such a data set, and that fewer are held out of it than its `examples` to train on.

    By default, `examples` is the catalogue's number; of a folder nothing is known then, and all passes.

    Raises:
        AssayError: it is not so; the line names the key.
    """
    allowed = [*DATA_SETS, FOLDER]
    if data.name not in allowed:
        raise AssayError(f"{PARAMS_FILE}: data.name: got {data.name!r}; {suggestion(data.name, allowed)}")
    if examples is None and data.name in DATA_SETS:
        examples = DATA_SETS[data.name].train
    if examples is not None and data.validation + data.test >= examples:
        key, got = ("test", data.test) if data.test >= examples else ("validation", data.validation)
        beside = f"with data.test: {data.test} " if data.test and key == "validation" else ""
        most = f"{beside}it must be less than the {examples} training images of {data.name}"
        raise AssayError(f"{PARAMS_FILE}: data.{key}: got {got}; {most}")
