"""How MLflow runs a logged model on image files: `mlflow models serve`, and `mlflow.pyfunc.load_model`.

This file travels with each model, and with it the files of `CODE`, so that whoever serves one needs torch, Pillow and
nothing of ours. Images are prepared as those that the model was trained on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from assay.data.decoding import read_image
from assay.data.sets.images import Preparation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

ABOUT = "about.json"  # beside the program: what becomes of an image file, and the names of the classes
PROGRAM = "model.pt2"
IMAGE, CLASS, PROBABILITY = "image", "class", "probability."  # columns; of a probability the name of its class follows
CODE = (
    "__init__.py",
    "core/__init__.py",
    "core/errors.py",
    "data/__init__.py",
    "data/decoding.py",
    "data/sets/__init__.py",
    "data/sets/images.py",
    "tracking/__init__.py",
    "tracking/served.py",
)
ROWS = 64  # images in memory at once: those of 224 pixels pass through a large network in a few GB


def columns(class_names: Sequence[str]) -> list[str]:
    """The columns of an answer."""
    return [CLASS, *(f"{PROBABILITY}{name}" for name in class_names)]


class Served:
    """A model that takes image files; `folder` holds PROGRAM and ABOUT."""

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        self.class_names: list[str] = about["class_names"]
        self.preparation = Preparation(**about["preparation"])
        self._run = torch.export.load(folder / PROGRAM).module()

    def predict(self, model_input: pd.DataFrame, params: dict[str, object] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """From a column IMAGE with the bytes of image files to `columns`: the class, and each class's probability.

        Raises:
            AssayError: an image cannot be read; the line has its row, from 0.
        """
        import pandas as pd

        files, found = list(model_input[IMAGE]), []
        for start in range(0, len(files), ROWS):
            rows = enumerate(files[start : start + ROWS], start)
            pixels = np.stack([read_image(bytes(one), self.preparation, f"row {row}").pixels for row, one in rows])
            with torch.no_grad():
                found.append(self._run(torch.from_numpy(pixels)).numpy())
        shares = np.concatenate(found) if found else np.empty((0, len(self.class_names)), np.float32)
        answer = pd.DataFrame(shares, columns=columns(self.class_names)[1:])
        answer.insert(0, CLASS, [self.class_names[best] for best in shares.argmax(1)])
        return answer


def _load_pyfunc(path: str, model_config: dict[str, object] | None = None) -> Served:  # noqa: ARG001
    """What MLflow calls, on the model's folder of data."""
    return Served(Path(path))
