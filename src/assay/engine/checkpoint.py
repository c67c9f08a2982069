"""Checkpoints: what lets a killed training go on, and nothing that any stage reads."""

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
from typing import Any, cast

import torch

import assay
from assay.core import files, runtime
from assay.core.config import LOTTERY

ROOT = Path(".assay/scratch")
STATE = "checkpoint.pt"
DIGEST_BYTES = 32
SOURCES = (
    *("__init__.py", "methods/__init__.py"),
    *("core/**/*.py", "data/sets/**/*.py", "engine/**/*.py"),
    *("models/__init__.py", "models/artifact.py", "models/fitting.py", "models/nets/__init__.py"),
)
"""What all trainings import of the library; a test compares it with dvc.yaml."""
ALSO = {LOTTERY: ("models/sparse.py",)}
"""What a method imports beside its own folder."""
UNUSABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, EOFError, pickle.UnpicklingError)
"""What reading or restoring a checkpoint raises when its content is not that of the training."""


class Stateful:
    """An object with a part in a training's checkpoint.

    `kept` names the attributes that cannot be derived from the step: tensors, numbers, strings, lists and dicts of
    these, or other `Stateful` objects.
    """

    kept: tuple[str, ...] = ()

    def state(self) -> dict[str, Any]:
        """What is kept, by attribute; not copied."""
        own = {name: getattr(self, name) for name in self.kept}
        return {name: each.state() if isinstance(each, Stateful) else each for name, each in own.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Set what is kept to a copy of `state`; tensors by name are written in place, since others hold them too."""
        for name in self.kept:
            own, saved = getattr(self, name), state[name]
            if isinstance(own, Stateful):
                own.restore(saved)
            elif isinstance(own, dict) and own:
                for key, tensor in own.items():
                    tensor.copy_(saved[key])
            else:
                setattr(self, name, copy.deepcopy(saved))


class UnusableCheckpointError(Exception):
    """A checkpoint was dropped after a part of it was restored: the training must be set up anew."""


class Scratch:
    """A stage's folder for checkpoints and live curves; as a context, removed when the block ends without error.

    It is untracked, since DVC's run-cache does not work for a stage with persistent outputs. A checkpoint is written
    atomically and ends with its SHA-256; a damaged one is dropped, and the training starts over. The inputs are what
    decides the result, as JSON: parameters, seeds, digests of data and code; torch, device and threads are added.
    """

    def __init__(self, stage: str, inputs: Any, device: torch.device, root: Path = ROOT) -> None:
        surroundings = [torch.__version__, device.type, torch.get_num_threads()]
        self.folder = root / f"{stage}-{files.content_digest([inputs, surroundings])[:16]}"
        self._device, self._stage = device, stage
        self._interval, self._last = runtime.checkpoint_seconds(), time.monotonic()

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
        """A place of its own for one of several trainings of the stage; what is done stands in its last checkpoint."""
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
        reason = "damaged: its content does not have its digest"
        if digest == hashlib.sha256(content).digest():
            try:
                return cast("dict[str, Any]", torch.load(io.BytesIO(content), self._device, weights_only=True))
            except torch.OutOfMemoryError:
                raise
            except UNUSABLE as error:
                reason = repr(error)
        self.drop(reason)
        return None

    def drop(self, reason: str) -> None:
        """Remove the checkpoint and say why, in a line."""
        path = self.folder / STATE
        path.unlink()
        reason = " ".join(reason.split())[:200]
        print(f"{path}: {reason}; the checkpoint is dropped and {self._stage} starts over", file=sys.stderr)


def source_digest(method: str, root: Path = Path(assay.__file__).parent) -> str:
    """A digest of the source that a training imports, as dvc.yaml names it: of methods, its own alone; no network's."""
    own = (f"methods/{method}/**/*.py", *ALSO.get(method, ()))
    found = [file for name in (*SOURCES, *own) for file in root.glob(name)]
    return files.content_digest({str(file.relative_to(root)): files.file_digest(file) for file in found})
