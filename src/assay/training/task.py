"""What a method is given, and what the house makes of what it leaves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from assay import artifact, models
from assay.artifact import Artifact, Manifest, ModelRecord, Variant
from assay.data.noise import noisy
from assay.models.combine import combine
from assay.training.batches import EpochBatches
from assay.training.curves import Copy
from assay.training.loop import Plan
from assay.training.stack import initialise, predict
from assay.training.update import GradientUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from jaxtyping import Int64
    from torch import Tensor, nn

    from assay.config import Run
    from assay.data.prepared import Prepared
    from assay.training.averaging import Averaging
    from assay.training.batches import Batches
    from assay.training.curves import Curves
    from assay.training.parametrisation import Outcome, Parametrisation
    from assay.training.stack import Weights
    from assay.training.update import Update


@dataclass(frozen=True)
class Task:
    """One training: the parameters as resolved for an arm, and the data on the device.

    Attributes:
        run: the parameters.
        data: the prepared data.
    """

    run: Run
    data: Prepared

    @property
    def device(self) -> torch.device:
        """Where everything runs: where the data is."""
        return self.data.train.images.device

    def fresh(self, seeds: Sequence[int]) -> tuple[nn.Module, Weights, Weights]:
        """A new network for each seed, stacked: the module, its parameters and its buffers `(copy, *shape)`."""
        model = self.run.model
        return initialise(partial(models.build, model.name, self.data.images, **model.arguments), seeds, self.device)

    @cached_property
    def labels(self) -> Int64[Tensor, " example"] | Int64[Tensor, "copy example"]:
        """The training set's labels: the same for all copies, or with label noise each seed's own."""
        labels, share = self.data.train.labels, self.run.label_noise
        if not share:
            return labels
        return torch.stack([noisy(labels, share, self.data.images.classes, seed) for seed in self.run.seeds])

    def batches(self, order: Literal["reshuffled", "fixed"] = "reshuffled") -> EpochBatches:
        """Plain epochs over the training set, one order for each seed."""
        return EpochBatches(self.labels, self.run.seeds, self.run.train.batch_size, order)

    def gradient_update(
        self,
        batches: Batches,
        parametrisation: Parametrisation | None = None,
        averaging: Averaging | None = None,
        stored: Weights | None = None,
    ) -> GradientUpdate:
        """Gradient training of one network a seed, from fresh weights unless the method stores something else."""
        network, parameters, buffers = self.fresh(self.run.seeds)
        start = parameters if stored is None else stored
        seams = (batches, parametrisation, averaging)
        return GradientUpdate(self.data, self.run.train, self.run.seeds, network, start, buffers, *seams)

    def plan(self) -> Plan:
        """One copy a seed, evaluated on the validation set."""
        train = self.run.train
        copies = [Copy(self.run.arm, seed) for seed in self.run.seeds]
        return Plan(self.run.arm, train.steps, train.evaluate_every, copies, {"validation": self.data.validation})

    def artifact(self, update: Update, curves: Curves) -> Artifact:
        """What training left, with the record of how it came about."""
        outcomes = update.variants()
        best_steps = curves.best_steps()
        records = {}
        for name, outcome in outcomes.items():
            validation = self._validation(update.network, outcome)
            records[name] = Variant(
                members=next(iter(outcome.weights.values())).shape[1],
                combine=outcome.combine,
                density=outcome.density,
                cost=update.counters.cost(outcome.copies),
                best_step=best_steps if len(best_steps) == len(self.run.seeds) else [],
                **validation,
            )
        run = self.run
        manifest = Manifest(
            arm=run.arm,
            method=run.method,
            seeds=list(run.seeds),
            model=ModelRecord(name=run.model.name, arguments=run.model.arguments),
            images=asdict(self.data.images),
            parameters=run.model_dump(mode="json", exclude={"arm", "seeds", "method"}),
            data_digest=self.data.digest,
            variants=records,
            record=update.record(),
        )
        masks = {f"{name}{artifact.MASKS}": outcome.masks for name, outcome in outcomes.items() if outcome.masks}
        return Artifact(manifest=manifest, weights={n: o.weights for n, o in outcomes.items()} | masks)

    def _validation(self, network: nn.Module, outcome: Outcome) -> dict[str, list[float]]:
        """Loss and accuracy of a variant's combined prediction on the validation set, for each seed."""
        split = self.data.validation
        if not len(split.labels):
            return {}
        losses, accuracies = [], []
        for seed in range(len(self.run.seeds)):
            members = {name: tensor[seed] for name, tensor in outcome.weights.items()}
            logits = predict(network, members, split.images, self.data.mean, self.data.std)
            probabilities = combine(logits, outcome.combine)
            losses.append(F.nll_loss(probabilities.clamp_min(1e-12).log().double(), split.labels).item())
            accuracies.append((probabilities.argmax(-1) == split.labels).double().mean().item())
        return {
            "validation_loss": [round(loss, 6) for loss in losses],
            "validation_accuracy": [round(accuracy, 6) for accuracy in accuracies],
        }
