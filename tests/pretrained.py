"""Small networks of timm with weights in a file, made here: no hub can be reached by a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from assay.core.config import Model

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = 7  # of the file; a network of other classes gets a fresh head


def model(architecture: str, arguments: dict | None = None, **more) -> Model:
    """The model of params.yaml that starts from the file of `weights_of`."""
    given = {"arguments": arguments} if arguments else {}
    return Model(name="timm", architecture=architecture, weights=f"weights/{architecture}.safetensors", **given, **more)


def weights_of(architecture: str, folder: Path, classes: int = CLASSES) -> dict[str, torch.Tensor]:
    """Write `weights/<architecture>.safetensors` under a folder; gives its tensors."""
    import timm

    torch.manual_seed(11)
    state = timm.create_model(architecture, num_classes=classes).state_dict()
    (folder / "weights").mkdir(exist_ok=True)
    save_file(state, folder / f"weights/{architecture}.safetensors")
    return state


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Work in a folder of its own; gives a function that writes an architecture's file there."""
    monkeypatch.chdir(tmp_path)
    return lambda architecture, **more: weights_of(architecture, tmp_path, **more)
