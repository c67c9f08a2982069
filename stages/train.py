"""Train one arm, or a block of further seeds of it: `python -m stages.train <arm | arm-block>`."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import torch

from assay import methods, models
from assay.core import config, files, runtime
from assay.core.config.blocks import block_name, stages_of
from assay.core.errors import start
from assay.data.sets import prepared
from assay.engine.checkpoint import Scratch, source_digest
from assay.models import artifact

PREPARED, MODELS = Path("data/prepared"), Path("models")


def main(name: str) -> None:
    """Read parameters, train, write `models/<name>/`, `metrics/curves/<name>.csv` and `metrics/timings/<name>.json`.

    Only the timings vary from run to run. They say for what work the seconds were taken (`assay.cli.costing` estimates
    those of other trainings from them), and on which machine: the last bits of the weights depend on its processor's
    instructions, number of threads and version of PyTorch.

    Raises:
        AssayError: an option does not fit, data or a parent is missing, or the training diverged.
    """
    run = config.load().run(name)
    training = methods.resolve(run)
    models.verify(run.arm, run.model, run.place("model"))
    device = runtime.set_up()
    data = prepared.load(PREPARED, device, ("train", *run.eval_splits))
    parents = {name: artifact.read(MODELS / block_name(name, run.block)) for name in run.parents}
    inputs = {
        "code": source_digest(run.method),
        "network": models.digest(run.model, run.place("model")),
        "run": run.model_dump(mode="json"),
        "data": data.digest,
        "augment": data.augment,
        "parents": {name: one.manifest.weights_sha256 for name, one in parents.items()},
    }
    with Scratch(stages_of(run.name)[0], inputs, device) as scratch:
        start_up = time.time() - psutil.Process().create_time()
        result, trained = training.train(data, scratch, parents)
        flops = result.manifest.model.flops_per_train_sample or 0
        timings = {
            "run": run.digest(data.name),
            "method": run.method,
            "data": data.name,
            "model": run.model.model_dump(),
            "seeds": len(run.seeds),
            "flops_per_sample": flops,
            "flops": flops * training.samples,
            "seconds": round(trained.seconds, 3),
            "steps_per_second": round(trained.steps / trained.seconds, 3),
            "start_up_seconds": round(start_up, 3),
            "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
            "threads": torch.get_num_threads(),
            "processor": runtime.processor(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "torch": str(torch.__version__),
            "side_by_side": runtime.beside(),
        }
        files.write_text(Path(f"metrics/curves/{run.name}.csv"), trained.curves.csv())
        files.write_json(Path(f"metrics/timings/{run.name}.json"), timings)
        artifact.write(MODELS / run.name, result)


if __name__ == "__main__":
    start(main)
