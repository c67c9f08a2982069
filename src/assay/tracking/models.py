"""The variants of an arm as MLflow models: exported, so that whoever loads one needs torch and nothing of ours."""

from __future__ import annotations

import copy
import json
import shutil
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from assay.data.sets.images import Images
from assay.models import artifact, build
from assay.tracking import content, tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jaxtyping import Float, Shaped

    from assay.models.artifact import Artifact, Combine
    from assay.tracking.records import ArmRecord, Meta
    from assay.tracking.runs import Draft
    from assay.tracking.store import Store

MODEL_TYPE = "image classifier"
CARD = "MLmodel"


class Predictor(nn.Module):
    """The networks of one seed of a variant as one module: raw images in, probabilities out.

    Once exported it needs nothing of this package.

    Args:
        members: M networks, from normalised images to logits.
        combine_as: how their predictions become one.
        mean: per channel, on the scale of the pixels, 0 to 255.
        std: likewise.
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
        return artifact.combine(
            logits.double(), self.combine_as
        ).float()  # in double precision, as the evaluation combines


def predictor(trained: Artifact, variant: str, seed: int, meta: Meta) -> Predictor:
    """The networks of one seed of a variant, in evaluation mode and on the CPU; `seed` is an index, 0 to S - 1.

    Raises:
        AssayError: there is no such model.
        RuntimeError: the weights do not fit the model.
    """
    manifest = trained.manifest
    network = build(manifest.model.name, Images(**manifest.images), **manifest.model.arguments)
    members = [copy.deepcopy(network) for _ in range(manifest.variants[variant].members)]
    for index, member in enumerate(members):
        member.load_state_dict(artifact.state_dict(trained, variant, seed, index))
    whole = Predictor(members, manifest.variants[variant].combine, meta.mean, meta.std)
    return whole.eval().requires_grad_(requires_grad=False)


class Exporter:
    """Writes predictors in MLflow's format, with torch's `pt2` inside; use it as a context manager.

    Tracing a network costs far more than writing it. Predictors of one form have the same graph and differ in weights
    alone: the first is exported by MLflow, the others are copies of it with their own weights in the graph.
    """

    def __enter__(self) -> Exporter:
        self._scratch = TemporaryDirectory(prefix="assay-track-")
        self._traced: dict[str, tuple[Path, Any]] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._traced.clear()
        self._scratch.cleanup()

    def write(self, network: Predictor, form: str, images: dict[str, int], model: str, run: str) -> Path:
        """Write one model and give its folder, which may be deleted once it was uploaded.

        Args:
            network: from raw images (n, c, h, w), uint8, to probabilities (n, classes).
            form: equal for predictors that differ in weights alone.
            images: channels, height, width and classes.
            model: the id that MLflow has for it.
            run: the id of the run that logs it.
        """
        from mlflow.models import Model

        folder = Path(self._scratch.name) / model
        if form not in self._traced:
            traced = Path(self._scratch.name) / f"form-{len(self._traced)}"
            _export(network, images, traced)
            self._traced[form] = traced, torch.export.load(_program(traced))
        traced, program = self._traced[form]
        state = network.state_dict()
        if program.state_dict.keys() != state.keys():
            raise RuntimeError(f"the exported graph has other weights than its network: {sorted(program.state_dict)}")
        with torch.no_grad():
            for name, tensor in state.items():
                program.state_dict[name].copy_(tensor)
        shutil.copytree(traced, folder)
        with _program(folder).open("wb") as stream:  # a full disk is then Python's error, which has a number
            torch.export.save(program, stream)
        card = Model.load(str(folder / CARD))
        card.model_id = card.model_uuid = model  # as `Model.log` would have it
        card.run_id = run
        card.save(str(folder / CARD))
        return folder


def _export(network: Predictor, images: dict[str, int], folder: Path) -> None:
    import mlflow.pytorch
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    shape = (images["channels"], images["height"], images["width"])
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, *shape))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, images["classes"]))]),
    )
    batch = (2, *shape)  # a batch of one would fix the size of every batch
    mlflow.pytorch.save_model(
        network,
        str(folder),
        signature=signature,
        input_example=(np.arange(np.prod(batch)) % 256).astype(np.uint8).reshape(batch),
        pip_requirements=[f"torch=={version('torch')}"],  # else MLflow spends ten seconds to infer them
        serialization_format="pt2",
    )


def _program(folder: Path) -> Path:
    return next(folder.rglob("*.pt2"))  # MLflow keeps the name of the exported graph to itself


class Models:
    """The models of one arm. A network's block is read once, and when it is asked for.

    Args:
        store: where they go.
        exporter: writes them.
        arm: whose variants they are.
        meta: the data, for its normalisation.
    """

    def __init__(self, store: Store, exporter: Exporter, arm: ArmRecord, meta: Meta) -> None:
        self._store, self._exporter, self._arm, self._meta = store, exporter, arm, meta
        self._read: dict[str, Artifact] = {}

    def log(self, draft: Draft) -> list[Any]:
        """Log one model for each variant; gives their scores, which are yet to be logged.

        A model takes uint8 images, since an exported graph is fixed to one type. Each has its scores under plain names,
        so that MLflow's table of models compares all variants of all arms; the run's own scores are later than these.

        Raises:
            AssayError: the weights are missing or damaged.
        """
        from mlflow.entities import LoggedModelOutput

        newest_last = reversed(self._arm.manifest.variants)  # MLflow's tables have the newest on top
        models = {variant: self._log_one(draft, variant) for variant in newest_last}
        self._store.client.log_outputs(draft.id, [LoggedModelOutput(model, step=0) for model in models.values()])
        linked = {"dataset_name": self._meta.name, "dataset_digest": self._meta.digest[: content.SHOWN_DIGEST]}
        return [
            metric
            for variant, model in models.items()
            for metric in draft.scores(
                content.metrics_of(self._arm.evaluation.variants[variant]), model_id=model, **linked
            )
        ]

    def write_again(self, run: str, models: Iterable[Any]) -> None:
        """Write the files of models that a run has already, as `log` wrote them.

        Raises:
            AssayError: the weights are missing or damaged.
        """
        for model in models:
            self._write(model.tags[tags.VARIANT], model.model_id, run)

    def _log_one(self, draft: Draft, variant: str) -> str:
        arm, manifest = self._arm, self._arm.manifest
        record, seed = manifest.variants[variant], manifest.seeds[arm.best_seed(variant)]
        about = {"arm": manifest.arm, "variant": variant, "method": manifest.method, "model": manifest.model.name}
        numbers = {"members": record.members, "combine": record.combine, "density": record.density, "seed": seed}
        logged = self._store.client.create_logged_model(
            draft.experiment,
            name=f"{manifest.arm}-{variant}",
            source_run_id=draft.id,
            tags={
                tags.ARM: manifest.arm,
                tags.VARIANT: variant,
                tags.CURRENT: self._store.current,
                tags.NOTE: self._note(variant),
            },
            params=about | {name: str(value) for name, value in numbers.items()},
            model_type=MODEL_TYPE,
        )
        self._write(variant, str(logged.model_id), draft.id)
        self._store.client.finalize_logged_model(logged.model_id, "READY")
        return str(logged.model_id)

    def _write(self, variant: str, model: str, run: str) -> None:
        manifest = self._arm.manifest
        record = manifest.variants[variant]
        part, seed = self._arm.place(self._arm.best_seed(variant))
        if part.name not in self._read:
            self._read[part.name] = artifact.read(part.model)
        network = predictor(self._read[part.name], variant, seed, self._meta)
        form = json.dumps([manifest.model.model_dump(), record.members, record.combine], sort_keys=True)
        folder = self._exporter.write(network, form, manifest.images, model, run)
        self._store.client.log_model_artifacts(model, str(folder))
        shutil.rmtree(folder)

    def _note(self, variant: str) -> str:
        """What a person should know who meets the model: Markdown."""
        arm, manifest, index = self._arm, self._arm.manifest, self._arm.best_seed(variant)
        record, images = manifest.variants[variant], manifest.images
        networks = "one network" if record.members == 1 else f"{record.members} networks ({record.combine})"
        chosen = "the best on the validation set" if record.validation_loss else "the first"
        shape = f"n, {images['channels']}, {images['height']}, {images['width']}"
        return (
            f"`{manifest.arm}/{variant}`: {networks} of {manifest.model.name}, from raw uint8 images ({shape}) to "
            f"probabilities (n, {images['classes']}); the normalisation is inside.\n\n"
            f"The metrics are means over {len(manifest.seeds)} seeds. The model itself is that of seed "
            f"{manifest.seeds[index]}, {chosen}; its own test accuracy is {arm.accuracy(variant, index):.4f}."
        )
