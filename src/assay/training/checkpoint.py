"""Scratch of a running stage: what lets a killed run go on, and nothing that any stage reads.

It lives in an untracked folder named after the stage and a digest of everything that decides its result (DVC would
switch its run-cache off for a stage with persistent outputs), is written atomically, and goes when the stage is done.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import assay
from assay.foundation import files, runtime

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(".assay/scratch")
STATE, CURVES = "checkpoint.pt", "curves.csv"


class Scratch:
    """A stage's folder for checkpoints and live curves; as a context, removed when the block ends without error.

    Args:
        stage: the stage's name, as in `train@line`.
        inputs: everything, as JSON, that decides the result: parameters, seeds, the digest of the data. The digest
            of the library's source, the version of torch, device and threads are added, so a run never goes on from
            a checkpoint that other code or another machine would not have written.
        device: where the stage runs.
        root: the folder of all scratch.
    """

    def __init__(self, stage: str, inputs: Any, device: torch.device, root: Path = ROOT) -> None:
        surroundings = [source_digest(), torch.__version__, device.type, torch.get_num_threads()]
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            shutil.rmtree(self.folder)

    def is_due(self) -> bool:
        """Whether the time for another checkpoint has come (`ASSAY_CHECKPOINT_SECONDS`, 30 by default)."""
        return time.monotonic() - self._last >= self._interval

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint in place of the one before, so that a kill at any moment leaves one of the two."""
        with files.replacing(self.folder / STATE) as temporary:
            torch.save(state, temporary)
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint, or None where there is none."""
        path = self.folder / STATE
        if not path.exists():
            return None
        state: dict[str, Any] = torch.load(path, map_location=self._device, weights_only=True)
        return state

    def write_curves(self, csv: str) -> None:
        """Show the curves so far to whoever follows the run."""
        files.write_text(self.folder / CURVES, csv)


def source_digest() -> str:
    """A digest of the library's source."""
    root = Path(assay.__file__).parent
    return files.content_digest({str(p.relative_to(root)): files.file_digest(p) for p in sorted(root.rglob("*.py"))})
