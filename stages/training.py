"""What the stages that train have in common: from parameters to the three things that such a stage writes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

from assay import artifact, config, methods
from assay.data.sets import prepared
from assay.foundation import files, runtime
from assay.training.checkpoint import Scratch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from assay.config import Run

PREPARED, MODELS = Path("data/prepared"), Path("models")


def train_and_write(
    stage: str,
    run: Run,
    ancestors: Iterable[str] = (),
    watched: tuple[Literal["validation", "test"], ...] = ("validation",),
) -> None:
    """Train and write `models/<arm>/`, `metrics/curves/<arm>.csv` and `metrics/timings/<arm>.json`.

    Only the last varies from run to run; no stage but `track` reads it. It also records the machine (device, processor,
    CPU instructions that PyTorch uses, threads, version of PyTorch), because the last bits of the weights depend on it.

    Args:
        stage: its name in dvc.yaml.
        run: what to train.
        ancestors: the trained networks under `models/` that the training starts from.
        watched: the splits whose loss and accuracy the curves show.

    Raises:
        AssayError: anything in params.yaml is wrong (also where it concerns another arm, so that a typo is found
            before hours of training and not after), the data is missing, or the training diverged.
    """
    methods.check(config.load())
    device = runtime.set_up()
    data = prepared.load(PREPARED, device, ("train", *watched))
    before = {name: artifact.read(MODELS / name) for name in ancestors}
    inputs = {
        "run": run.model_dump(mode="json"),
        "data": data.digest,
        "augment": data.augment,
        "ancestors": {name: one.manifest.weights_sha256 for name, one in before.items()},
    }
    with Scratch(stage, inputs, device) as scratch:
        start_up = time.time() - psutil.Process().create_time()
        result, trained = methods.train(run, data, scratch, before, watched)
        files.write_text(Path(f"metrics/curves/{run.arm}.csv"), trained.curves.csv())
        files.write_json(
            Path(f"metrics/timings/{run.arm}.json"),
            {
                "seconds": round(trained.seconds, 3),
                "steps_per_second": round(trained.steps / trained.seconds, 3),
                "start_up_seconds": round(start_up, 3),
                "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
                "threads": torch.get_num_threads(),
                "processor": runtime.processor(),
                "instructions": torch.backends.cpu.get_cpu_capability(),
                "torch": str(torch.__version__),
                "side_by_side": runtime.beside(),
            },
        )
        artifact.write(MODELS / run.arm, result)
