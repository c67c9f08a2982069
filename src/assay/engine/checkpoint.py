"""Scratch of a running stage: what lets a killed run go on, and nothing that any stage reads.

It lives in an untracked folder named after the stage and a digest of everything that decides its result (DVC would
switch its run-cache off for a stage with persistent outputs), is written atomically, and goes when the stage is done.
A checkpoint ends with its SHA-256. A damaged one is dropped, and the training starts over.
"""

from __future__ import annotations

import copy
import hashlib
import io
import os
import pickle
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

import assay
from assay import models
from assay.core import files, runtime

ROOT = Path(".assay/scratch")
STATE, CURVES = "checkpoint.pt", "curves.csv"
DIGEST_BYTES = 32
SOURCES = (
    *("__init__.py", "methods/__init__.py", "methods/_tuning.py"),
    *("core/**/*.py", "data/sets/**/*.py", "engine/**/*.py"),
    *("models/[!_]*.py", "models/__init__.py", "models/nets/__init__.py"),
)
"""What all trainings import of the library; a test compares it with dvc.yaml."""
UNUSABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, EOFError, pickle.UnpicklingError)
"""What reading or restoring a checkpoint raises when its content is not that of the training."""


class UnusableCheckpointError(Exception):
    """A checkpoint was dropped after a part of it was restored: the training must be set up anew."""


class Scratch:
    """A stage's folder for checkpoints and live curves; as a context, removed when the block ends without error.

    Args:
        stage: the stage's name, as in `train@line`.
        inputs: everything, as JSON, that decides the result: parameters, seeds, digests of the data and of the code
            (`source_digest`). The version of torch, device and threads are added, so that no run goes on from a
            checkpoint that other code or another machine would not have written.
        device: where the stage runs.
        root: the folder of all scratch.
    """

    def __init__(self, stage: str, inputs: Any, device: torch.device, root: Path = ROOT) -> None:
        surroundings = [torch.__version__, device.type, torch.get_num_threads()]
        self.folder = root / f"{stage}-{files.content_digest([inputs, surroundings])[:16]}"
        self._device = device
        self._stage = stage
        self._interval = runtime.checkpoint_seconds()
        self._last = time.monotonic()

    def __enter__(self) -> Scratch:
        for stale in self.folder.parent.glob(f"{self._stage}-*"):
            if stale != self.folder:
                shutil.rmtree(stale)
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            shutil.rmtree(self.folder)

    def part(self, name: str) -> Scratch:
        """A place of its own for one of several trainings of the stage; it goes when the stage is done.

        What is done of a part stands in its last checkpoint, so a run that is killed in a later part repeats seconds.
        """
        own = copy.copy(self)
        own.folder = self.folder / name
        own.folder.mkdir(exist_ok=True)
        return own

    def is_due(self) -> bool:
        """Whether the time for another checkpoint has come (`ASSAY_CHECKPOINT_SECONDS`, 30 by default)."""
        return time.monotonic() - self._last >= self._interval

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint in place of the one before, so that a kill at any moment leaves one of the two."""
        with files.replacing(self.folder / STATE) as temporary, temporary.open("w+b") as stream:
            torch.save(state, stream)
            stream.seek(0)
            stream.write(hashlib.file_digest(stream, "sha256").digest())
            stream.flush()
            os.fsync(stream.fileno())
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint; None where there is none, or where it was damaged and is dropped."""
        path = self.folder / STATE
        if not path.exists():
            return None
        content = path.read_bytes()
        content, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
        if digest != hashlib.sha256(content).digest():
            self.drop("damaged: its content does not have its digest")
            return None
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(content), map_location=self._device, weights_only=True)
        except torch.OutOfMemoryError:
            raise
        except UNUSABLE as error:
            self.drop(repr(error))
            return None
        return state

    def drop(self, reason: str) -> None:
        """Remove the checkpoint and say why, in a line."""
        path = self.folder / STATE
        path.unlink()
        said = " ".join(reason.split())[:200]
        print(f"{path}: {said}; the checkpoint is dropped and {self._stage} starts over", file=sys.stderr)

    def write_curves(self, csv: str) -> None:
        """Show the curves so far to whoever follows the run."""
        files.write_text(self.folder / CURVES, csv)


def source_digest(method: str, model: str, root: Path = Path(assay.__file__).parent) -> str:
    """A digest of the source that a training imports: what dvc.yaml names under the `deps` of its stage.

    Args:
        method: of the training; other methods are left out, as is all that reads results.
        model: its network's name; the files of others are left out.
        root: the folder of the library.
    """
    own = (f"methods/{method}/**/*.py", f"models/nets/{models.source(model).name}")
    found = [file for name in (*SOURCES, *own) for file in root.glob(name)]
    return files.content_digest({str(file.relative_to(root)): files.file_digest(file) for file in found})
