"""What a method is given, and what the house makes of what it leaves."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from assay import models
from assay.data.sets.augment import noisy
from assay.engine.batches import EpochBatches
from assay.engine.stack import initialise, predict
from assay.models import artifact
from assay.models.artifact import Artifact, Manifest, ModelRecord, Normalisation, Variant, combine
from assay.models.nets import head, source_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Int64
    from torch import Tensor, nn

    from assay.core.config import Augment, Run
    from assay.data.sets.prepared import Prepared
    from assay.engine.batches import Order
    from assay.engine.loop import Curves
    from assay.engine.optim import Rule
    from assay.engine.stack import Weights
    from assay.engine.step_rule import Outcome, StepRule


@dataclass(frozen=True)
class TrainContext:
    """One training: the parameters as resolved for an arm, and the prepared data."""

    run: Run
    data: Prepared
    parents: Mapping[str, Artifact] = field(default_factory=dict)  # what a pruning round starts from, by arm

    @property
    def device(self) -> torch.device:
        """Where everything runs."""
        return self.data.device

    @property
    def augment(self) -> Augment:
        """What training does to images: the arm's own, or the data's."""
        return self.data.augment if self.run.augment is None else self.run.augment

    def fresh(self, seeds: Sequence[int], *, scratch: bool = False) -> tuple[nn.Module, Weights, Weights]:
        """A new network for each seed, stacked: the module, its parameters and its buffers `(copy, *shape)`.

        Pretrained ones, if the model says so, with a head of each seed; with `scratch`, drawn at random in any case.
        """
        model = self.run.model
        arguments = models.scratch(model.arguments) if scratch else model.arguments
        return initialise(partial(models.build, model.name, self.data.images, **arguments), seeds, self.device)

    @cached_property
    def rules(self) -> dict[str, Rule] | None:
        """How the optimizer moves each parameter, where `backbone_lr` or `decay` asks for more than one way.

        Weight decay on `weights` leaves out biases, what has no more than one dimension (as the scales of norms), and
        what timm says it should (embeddings of positions and the like).
        """
        train, model = self.run.train, self.run.model
        factor = 1.0 if train.backbone_lr is None else train.backbone_lr
        if factor == 1 and train.optimizer.decay == "all":
            return None
        network = models.blueprint(model.name, self.data.images, model.arguments)
        outer, found = head(network), getattr(network, "no_weight_decay", None)
        spared = {*found()} if callable(found) and train.optimizer.decay == "weights" else set()
        if train.optimizer.decay == "weights":
            own = network.named_parameters()
            spared |= {name for name, one in own if one.dim() < 2 or name.rpartition(".")[2] == "bias"}
        return {name: (1.0 if name in outer else factor, name not in spared) for name, _ in network.named_parameters()}

    @property
    def frozen(self) -> frozenset[str]:
        """The parameters that do not move; batch norms of these alone keep their statistics."""
        return frozenset(name for name, (factor, _) in (self.rules or {}).items() if not factor)

    @cached_property
    def labels(self) -> Int64[Tensor, " example"] | Int64[Tensor, "copy example"]:
        """The training set's labels: the same for all copies, or with label noise each seed's own."""
        labels, share = self.data.train.labels, self.run.label_noise
        if not share:
            return labels
        return torch.stack([noisy(labels, share, self.data.images.classes, seed) for seed in self.run.seeds])

    def batches(self, order: Order = "reshuffled") -> EpochBatches:
        """Plain epochs over the training set, one order for each seed."""
        return EpochBatches(self.labels, self.run.seeds, self.run.train.batch_size, order)

    def artifact(self, update: StepRule, curves: Curves) -> Artifact:
        """What training left, with the record of how it came about."""
        run, model, outcomes, paths = self.run, self.run.model, update.variants(), update.sweeps()
        records = {}
        for name, outcome in outcomes.items():
            steps, accuracies = curves.best(f"{run.arm}/{name}" if name in update.curve_names else run.arm)
            losses, correct = self._validation(update.network, outcome)
            records[name] = Variant(
                members=next(iter(outcome.weights.values())).shape[1],
                combine=outcome.combine,
                density=outcome.density,
                cost=update.counters.cost(outcome.copies) + outcome.prior_cost,
                best_step=steps,
                best_step_accuracy=accuracies,
                validation_loss=losses,
                validation_accuracy=correct,
            )
        forward, both = models.operations(model.name, self.data.images, model.arguments)
        source = source_of(update.network)
        manifest = Manifest(
            arm=run.arm,
            method=run.method,
            seeds=list(run.seeds),
            model=ModelRecord(
                name=model.name,
                arguments=model.arguments,
                flops_per_sample=forward,
                flops_per_train_sample=both,
                weights_sha256=source.sha256 if source else None,
            ),
            normalisation=Normalisation(mean=source.mean, std=source.std) if source else None,
            images=asdict(self.data.images),
            parameters=run.parameters,
            block=run.block,
            data_digest=self.data.digest,
            variants=records,
            record=update.record(),
            sweeps={name: path.sweep for name, path in paths.items()},
        )
        weights = {name: outcome.weights for name, outcome in outcomes.items()}
        weights |= {f"{name}{artifact.MASKS}": outcome.masks for name, outcome in outcomes.items() if outcome.masks}
        weights |= {f"{name}{artifact.POINTS}": path.points for name, path in paths.items() if path.points}
        weights |= {f"{name}{artifact.BUFFERS}": path.buffers for name, path in paths.items() if path.buffers}
        return Artifact(manifest=manifest, weights=weights)

    def _validation(self, network: nn.Module, outcome: Outcome) -> tuple[list[float], list[float]]:
        split, losses, accuracies = self.data.validation, [], []
        for seed in range(len(self.run.seeds)) if len(split.labels) else ():
            members = {name: tensor[seed] for name, tensor in outcome.weights.items()}
            settings = self.data.mean, self.data.std, self.run.train.precision
            logits = predict(network, members, split.images, *settings)
            probabilities = combine(logits, outcome.combine)
            loss = F.nll_loss(probabilities.clamp_min(1e-12).log().double(), split.labels)
            losses.append(round(loss.item(), 6))
            accuracies.append(round((probabilities.argmax(-1) == split.labels).double().mean().item(), 6))
        return losses, accuracies
