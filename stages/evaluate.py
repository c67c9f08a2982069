"""Evaluate one trained model on the test set: `python -m stages.evaluate <baseline | arm | round-n>`."""

from __future__ import annotations

from pathlib import Path

import torch

from assay import models
from assay.core import runtime
from assay.core.config import Model
from assay.core.config.blocks import block_name
from assay.core.errors import AssayError, again, start
from assay.data.sets import prepared
from assay.models import artifact
from assay.scoring import predict, record

ROOT = Path()
PREPARED = Path("data/prepared")


def main(name: str) -> None:
    """Read models/<name> and the data; write its record in metrics/evaluate and its answers in data/predictions."""
    device = runtime.set_up()
    trained = artifact.read(Path("models") / name)
    manifest = trained.manifest
    if (held := block_name(manifest.arm, manifest.block)) != name:
        raise AssayError(f"models/{name}: holds the networks of {held}; {again(Path('models') / name)}")
    data = prepared.load(PREPARED, device, splits=("validation", "test"))
    if manifest.data_digest != data.digest:
        raise AssayError(
            f"models/{name}: trained on data {manifest.data_digest[:12]}, but {PREPARED} holds {data.digest[:12]}; "
            "run `dvc repro` to train it anew"
        )
    models.verify(manifest.arm, Model(name=manifest.model.name, **manifest.model.arguments))
    network = manifest.network().to(device)
    found = {variant: predict.of_variant(trained, variant, network, data) for variant in manifest.variants}
    answers = {variant: predictions for variant, (predictions, _) in found.items()}
    counts = torch.bincount(data.test.labels, minlength=len(data.class_names)).tolist()
    classes = dict(zip(data.class_names, counts, strict=True))
    along = {sweep: predict.of_sweep(trained, sweep, network, data) for sweep in manifest.sweeps}
    record.write(ROOT, record.Evaluation(record.make(manifest, data.name, classes, found, along), answers))


if __name__ == "__main__":
    start(main)
