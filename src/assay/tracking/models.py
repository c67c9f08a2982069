"""The variants of an arm as MLflow models: exported, so that whoever loads one needs torch and nothing of ours."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import assay
from assay.core import files
from assay.models import artifact, predictor
from assay.tracking import content, served, tags

if TYPE_CHECKING:
    from assay.models.predictor import Predictor
    from assay.tracking.records import ArmRecord, Meta
    from assay.tracking.store import Store

MODEL_TYPE = "image classifier"
CARD, DATA, CODE = "MLmodel", "data", "code"  # of the files that MLflow makes of a model
ONNX = "model.onnx"  # beside them, of the champion
PROGRAM = f"{DATA}/{served.PROGRAM}"
NEEDED = (CARD, PROGRAM, f"{DATA}/{served.ABOUT}", *(f"{CODE}/assay/{name}" for name in served.CODE))


class Models:
    """Logs the variants of arms as MLflow models, with torch's `pt2` inside, by way of the folder `scratch`.

    Tracing a network costs far more than writing it. Predictors of one form have the same graph and differ in weights
    alone: the first is exported by MLflow, the others are copies of it with their own weights in the graph.
    """

    def __init__(self, store: Store, meta: Meta, scratch: Path) -> None:
        self.meta, self._store, self._scratch = meta, store, scratch
        self._traced: dict[str, tuple[Path, Any]] = {}  # by form
        self._read = lru_cache(maxsize=1)(artifact.read)  # the variants of an arm share their file

    def log(self, arm: ArmRecord, experiment: str, run: str, when: int) -> list[Any]:
        """Log one model for each variant; gives their scores at `when`, milliseconds since 1970, yet to be logged.

        A model takes uint8 images, since an exported graph is fixed to one type. Each has its scores under plain names,
        so that MLflow's table of models compares all variants of all arms.

        Raises:
            AssayError: the weights are missing or damaged.
        """
        from mlflow.entities import LoggedModelOutput, Metric

        client, manifest = self._store.client, arm.manifest
        data = {"dataset_name": self.meta.name, "dataset_digest": self.meta.digest[: content.SHOWN_DIGEST]}
        outputs: list[Any] = []
        scores: list[Any] = []
        for variant, record in reversed(manifest.variants.items()):  # MLflow's tables have the newest on top
            about = {"arm": manifest.arm, "variant": variant, "method": manifest.method, "model": manifest.model.name}
            seed = manifest.seeds[arm.best_seed(variant)]
            numbers = {"members": record.members, "combine": record.combine, "density": record.density, "seed": seed}
            told = {tags.ARM: manifest.arm, tags.VARIANT: variant, tags.CURRENT: self._store.current}
            logged = client.create_logged_model(
                experiment,
                name=f"{manifest.arm}-{variant}",
                source_run_id=run,
                tags={**told, tags.NOTE: _note(arm, variant)},
                params=about | {name: str(value) for name, value in numbers.items()},
                model_type=MODEL_TYPE,
            )
            model = str(logged.model_id)
            self.write(arm, variant, model, run)
            client.finalize_logged_model(model, "READY")
            outputs.append(LoggedModelOutput(model, step=0))
            values = content.metrics_of(arm.evaluation.variants[variant]).items()
            scores += [Metric(name, one, when, 0, run_id=run, model_id=model, **data) for name, one in values]
        client.log_outputs(run, outputs)
        return scores

    def write(self, arm: ArmRecord, variant: str, model: str, run: str) -> None:
        """Write the files of a logged model: the networks of the variant's best seed, in evaluation mode on the CPU.

        `model` and `run`, the one that logs it, are the ids that MLflow has for them.

        Raises:
            AssayError: the weights are missing or damaged.
        """
        from mlflow.models import Model

        manifest, record, network = arm.manifest, arm.manifest.variants[variant], self._network(arm, variant)
        form = json.dumps([manifest.model.model_dump(), record.members, record.combine], sort_keys=True)
        if form not in self._traced:
            traced = self._scratch / f"form-{len(self._traced)}"
            _export(network, self.meta, traced)
            self._traced[form] = traced, torch.export.load(traced / PROGRAM)
        traced, program = self._traced[form]
        state = network.state_dict()
        with torch.no_grad():
            for name, tensor in program.state_dict.items():
                tensor.copy_(state[name])
        folder = self._scratch / model
        shutil.copytree(traced, folder)
        with (folder / PROGRAM).open("wb") as stream:  # a full disk is then Python's error, which has a number
            torch.export.save(program, stream)
        card = Model.load(str(folder / CARD))
        card.model_id = card.model_uuid = model  # as `Model.log` would have it
        card.run_id = run
        card.save(str(folder / CARD))
        self._store.client.log_model_artifacts(model, str(folder))
        shutil.rmtree(folder)

    def write_onnx(self, arm: ArmRecord, variant: str, model: str) -> None:
        """Write the logged model as ONNX beside its other files; errors as of `write` and `predictor.write_onnx`."""
        file = self._scratch / ONNX
        predictor.write_onnx(self._network(arm, variant), self.meta.images, file)
        self._store.client.log_model_artifact(model, str(file))

    def _network(self, arm: ArmRecord, variant: str) -> Predictor:
        part, seed = arm.place(arm.best_seed(variant))
        return predictor.of_variant(self._read(part.model), variant, seed, self.meta)


def _export(network: Predictor, meta: Meta, folder: Path) -> None:
    """Have MLflow trace and write a network, to be loaded as what it is, or as what takes image files (`served`)."""
    import mlflow.pytorch
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    batch = (2, *meta.images.shape)  # a batch of one would fix the size of every batch
    needed = [f"{name}=={version(name)}" for name in ("torch", "numpy", "pandas", "pillow")]
    mlflow.pytorch.save_model(
        network,
        str(folder),
        signature=ModelSignature(Schema([TensorSpec(np.dtype("uint8"), (-1, *batch[1:]))])),  # not to be inferred
        input_example=(np.arange(np.prod(batch)) % 256).astype(np.uint8).reshape(batch),
        pip_requirements=needed,  # else MLflow spends ten seconds to infer them
        serialization_format="pt2",
    )
    for example in folder.glob("*input_example*"):  # it is the tracing's alone
        example.unlink()
    card = Model.load(str(folder / CARD))
    card.saved_input_example_info = None
    first, *others = served.columns(meta.class_names)
    columns = Schema([ColSpec("string", first), *(ColSpec("float", name) for name in others)])
    card.signature = ModelSignature(Schema([ColSpec("binary", served.IMAGE)]), columns)
    card.flavors["python_function"] |= {"loader_module": served.__name__, "code": CODE}
    card.save(str(folder / CARD))
    about = {"preparation": asdict(meta.preparation), "class_names": meta.class_names}
    files.write_json(folder / DATA / served.ABOUT, about)
    for name in served.CODE:
        target = folder / CODE / "assay" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(assay.__file__).parent / name, target)


def _note(arm: ArmRecord, variant: str) -> str:
    manifest, index = arm.manifest, arm.best_seed(variant)
    record, images = manifest.variants[variant], manifest.images
    networks = "one network" if record.members == 1 else f"{record.members} networks ({record.combine})"
    chosen = "the best on the validation set" if record.validation_loss else "the first"
    return (
        f"`{manifest.arm}/{variant}`: {networks} of {manifest.model.name}, from raw uint8 images "
        f"(n, {images['channels']}, {images['height']}, {images['width']}) to probabilities (n, {images['classes']}); "
        f"the normalisation is inside.\n\nThe metrics are means over {len(manifest.seeds)} seeds. The model itself is "
        f"that of seed {manifest.seeds[index]}, {chosen}; its own test accuracy is "
        f"{arm.evaluation.variants[variant].accuracy[index]:.4f}."
    )
