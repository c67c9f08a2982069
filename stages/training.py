"""What the stages that train have in common: from parameters to the three things that such a stage writes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch

from assay import methods
from assay.core import config, files, runtime
from assay.core.config.blocks import block_name, stages_of
from assay.data.sets import prepared
from assay.engine.checkpoint import Scratch, source_digest
from assay.models import artifact

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from assay.core.config import Run
    from assay.models.artifact import ModelRecord

PREPARED, MODELS = Path("data/prepared"), Path("models")


def train_and_write(
    run: Run,
    parents: Iterable[str] = (),
    eval_splits: tuple[Literal["validation", "test"], ...] = ("validation",),
) -> None:
    """Train and write `models/<name>/`, `metrics/curves/<name>.csv` and `metrics/timings/<name>.json`.

    Only the last varies from run to run. It also records the machine (device, processor, CPU instructions that PyTorch
    uses, threads, version of PyTorch), because the last bits of the weights depend on it.

    Args:
        run: what to train.
        parents: the arms whose trained networks under `models/` it starts from: their blocks of the same number.
        eval_splits: the splits whose loss and accuracy the curves show.

    Raises:
        AssayError: anything in params.yaml is wrong (also where it concerns another arm, so that a typo is found
            before hours of training and not after), the data is missing, or the training diverged.
    """
    methods.check(config.load())
    device = runtime.set_up()
    data = prepared.load(PREPARED, device, ("train", *eval_splits))
    before = {name: artifact.read(MODELS / block_name(name, run.block)) for name in parents}
    inputs = {
        "code": source_digest(run.method),
        "run": run.model_dump(mode="json"),
        "data": data.digest,
        "augment": data.augment,
        "parents": {name: one.manifest.weights_sha256 for name, one in before.items()},
    }
    with Scratch(stages_of(run.name)[0], inputs, device) as scratch:
        start_up = time.time() - psutil.Process().create_time()
        result, trained = methods.train(run, data, scratch, before, eval_splits)
        files.write_text(Path(f"metrics/curves/{run.name}.csv"), trained.curves.csv())
        files.write_json(
            Path(f"metrics/timings/{run.name}.json"),
            {
                **_work(run, data.name, result.manifest.model),
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
        artifact.write(MODELS / run.name, result)


def _work(run: Run, data: str, model: ModelRecord) -> dict[str, Any]:
    """What the seconds were taken for, from which those of other trainings are estimated (`assay.cli.costing`)."""
    of_sample = model.flops_per_train_sample or 0
    return {
        "run": run.digest(data),
        "method": run.method,
        "data": data,
        "model": run.model.model_dump(),
        "seeds": len(run.seeds),
        "flops_per_sample": of_sample,
        "flops": of_sample * methods.samples(run),
    }
