"""The variants of an arm as MLflow models: exported, so that whoever loads one needs torch and nothing of ours."""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from assay.data.sets.images import Images
from assay.models import artifact
from assay.tracking import content, tags

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float, Shaped

    from assay.models.artifact import Combine
    from assay.tracking.records import ArmRecord, Meta
    from assay.tracking.store import Store

MODEL_TYPE = "image classifier"
CARD, PROGRAM = "MLmodel", "data/model.pt2"  # of the files that MLflow makes of a model


class Predictor(nn.Module):
    """The networks of one seed of a variant as one module: raw images in, probabilities out.

    Once exported it needs nothing of this package. The members are M networks, from normalised images to logits; mean
    and std are per channel, on the scale of the pixels, 0 to 255.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, members: Sequence[nn.Module], combine_as: Combine, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.combine_as: Combine = combine_as
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Shaped[Tensor, "example c h w"]) -> Float[Tensor, "example class"]:
        """Class probabilities of raw images, uint8 or float, with pixels from 0 to 255."""
        normalised = (images.float() - self.mean) / self.std
        logits = torch.stack([member(normalised) for member in self.members])
        return artifact.combine(logits.double(), self.combine_as).float()  # in double precision, as evaluation does it


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

        manifest, record, images = arm.manifest, arm.manifest.variants[variant], Images(**arm.manifest.images)
        part, seed = arm.place(arm.best_seed(variant))
        trained = self._read(part.model)
        members = [manifest.network() for _ in range(record.members)]
        for index, member in enumerate(members):
            member.load_state_dict(artifact.state_dict(trained, variant, seed, index))
        network = Predictor(members, record.combine, *manifest.moments(self.meta)).eval()
        network.requires_grad_(requires_grad=False)
        form = json.dumps([manifest.model.model_dump(), record.members, record.combine], sort_keys=True)
        if form not in self._traced:
            traced = self._scratch / f"form-{len(self._traced)}"
            _export(network, images, traced)
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


def _export(network: Predictor, images: Images, folder: Path) -> None:
    import mlflow.pytorch
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, *images.shape))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, images.classes))]),
    )
    batch = (2, *images.shape)  # a batch of one would fix the size of every batch
    mlflow.pytorch.save_model(
        network,
        str(folder),
        signature=signature,
        input_example=(np.arange(np.prod(batch)) % 256).astype(np.uint8).reshape(batch),
        pip_requirements=[f"torch=={version('torch')}"],  # else MLflow spends ten seconds to infer them
        serialization_format="pt2",
    )


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
