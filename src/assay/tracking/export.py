"""Networks as MLflow models on disk. To trace a network costs far more than to write it: each form is traced once."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assay.tracking.predictor import Predictor

CARD = "MLmodel"


class Exporter:
    """Writes predictors in MLflow's format, with torch's `pt2` inside; use it as a context manager.

    Predictors of one form have the same graph and differ in weights alone: the first of them is exported by MLflow, the
    others are copies of it with their own weights in the graph. Scratch folders go when the block ends.
    """

    def __enter__(self) -> Exporter:
        self._scratch = TemporaryDirectory(prefix="assay-track-")
        self._traced: dict[str, tuple[Path, Any]] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._traced.clear()
        self._scratch.cleanup()

    def write(self, network: Predictor, form: str, images: dict[str, int], model: str, run: str) -> Path:
        """Write one model and give its folder, which may be deleted once it was uploaded.

        Args:
            network: from raw images (n, c, h, w), uint8, to probabilities (n, classes).
            form: equal for predictors that differ in weights alone.
            images: channels, height, width and classes.
            model: the id that MLflow has for it.
            run: the id of the run that logs it.
        """
        import torch

        folder = Path(self._scratch.name) / model
        if form not in self._traced:
            traced = Path(self._scratch.name) / f"form-{len(self._traced)}"
            _export(network, images, traced)
            self._traced[form] = traced, torch.export.load(_program(traced))
        traced, program = self._traced[form]
        shutil.copytree(traced, folder)
        _put_weights(network, program)
        with _program(folder).open("wb") as stream:  # a full disk is then Python's error, which has a number
            torch.export.save(program, stream)
        _put_ids(folder, model, run)
        return folder


def _put_weights(network: Predictor, program: Any) -> None:
    import torch

    state = network.state_dict()
    if program.state_dict.keys() != state.keys():
        raise RuntimeError(f"the exported graph has other weights than its network: {sorted(program.state_dict)}")
    with torch.no_grad():
        for name, tensor in state.items():
            program.state_dict[name].copy_(tensor)


def _export(network: Predictor, images: dict[str, int], folder: Path) -> None:
    """Let MLflow trace and save a network; every copy of the folder is a model of the same form."""
    import mlflow.pytorch
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    shape = (images["channels"], images["height"], images["width"])
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, *shape))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, images["classes"]))]),
    )
    mlflow.pytorch.save_model(
        network,
        str(folder),
        signature=signature,
        input_example=_ramp((2, *shape)),  # a batch of one would fix the size of every batch
        pip_requirements=[f"torch=={version('torch')}"],  # else MLflow spends ten seconds to infer them
        serialization_format="pt2",
    )


def _put_ids(folder: Path, model: str, run: str) -> None:
    """Say in the model's card which model of which run it is, as `Model.log` would have."""
    from mlflow.models import Model

    card = Model.load(str(folder / CARD))
    card.model_id = card.model_uuid = model
    card.run_id = run
    card.save(str(folder / CARD))


def _program(folder: Path) -> Path:
    """The file of the exported graph: MLflow keeps its name to itself."""
    found: Iterator[Path] = folder.rglob("*.pt2")
    return next(found)


def _ramp(shape: tuple[int, ...]) -> object:
    import numpy as np

    return (np.arange(np.prod(shape)) % 256).astype(np.uint8).reshape(shape)
