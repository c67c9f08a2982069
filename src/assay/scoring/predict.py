"""From trained networks to predictions: variants and sweeps run over the test set, blind to the method."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from assay.core.errors import AssayError
from assay.engine.stack import predict
from assay.models.artifact import combine, point
from assay.scoring import temperature
from assay.scoring.predictions import FEW_CLASSES, Predictions, joined
from assay.scoring.record import SweepRecord

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int64
    from torch import Tensor, nn

    from assay.data.sets.prepared import Prepared, Split
    from assay.models.artifact import Artifact, Combine
    from assay.scoring.predictions import Array

# The least probability whose logarithm is taken. A class without a vote has share 0, and a loss of infinity would say
# nothing; float32's epsilon is what the field's libraries clamp at. Probabilities only need to survive underflow.
FLOOR: dict[Combine, float] = {
    "majority_vote": torch.finfo(torch.float32).eps,
    "mean_probability": torch.finfo(torch.float64).tiny,
    "mean_logit": torch.finfo(torch.float64).tiny,
}
CELLS = 2_000_000  # logits of all seeds and members in memory at once


def score(
    probabilities: Float[Tensor, "seed example class"], labels: Int64[Tensor, " example"], how: Combine
) -> Predictions:
    """Reduce class probabilities to what is kept of them."""
    correct, of_label, losses = _measured(probabilities, labels, how)
    largest = probabilities.max(-1)
    return Predictions(
        correct=_numpy(correct, torch.uint8),
        confidence=_numpy(largest.values, torch.float32),
        nll=_numpy(losses, torch.float32),
        brier=_numpy(probabilities.square().sum(-1) - 2 * of_label + 1, torch.float32),
        labels=_numpy(labels, torch.int64).astype(np.uint16),  # in NumPy: few of PyTorch's kernels know this type
        predicted=_numpy(largest.indices, torch.int64).astype(np.uint16),
        top_5=_numpy(_top(5, probabilities, labels), torch.uint8) if probabilities.shape[-1] > FEW_CLASSES else None,
    )


def of_variant(
    artifact: Artifact,
    variant: str,
    network: nn.Module,
    data: Prepared,
) -> tuple[Predictions, dict[str, Any]]:
    """Run a variant over the test set, once: its predictions, and by name its temperatures and metrics of its members.

    The temperature of each seed is fitted to the combined prediction on the validation set, where there is one. The
    network is the plain module, on the data's device; its own weights are never used. Images may lie on the host.

    Raises:
        AssayError: a network's outputs are not finite numbers.
    """
    how = artifact.manifest.variants[variant].combine
    together, sums = _combined(artifact, variant, network, data, data.test)
    predictions, found = score(together, data.test.labels, how), dict[str, Any]()
    if len(data.validation.labels):
        held_out, _ = _combined(artifact, variant, network, data, data.validation)
        fitted = [temperature.fit(row.clamp_min(FLOOR[how]).log(), data.validation.labels) for row in held_out]
        del held_out
        scaled = (
            temperature.scale(row.clamp_min(FLOOR[how]).log(), own) for row, own in zip(together, fitted, strict=True)
        )
        own = joined([score(row[None], data.test.labels, how) for row in scaled])  # a seed at a time, for memory
        predictions = replace(predictions, scaled_confidence=own.confidence, scaled_nll=own.nll, scaled_brier=own.brier)
        found["temperature"] = [round(one, 6) for one in fitted]
    if sums is not None:
        means = sums / len(data.test.labels)
        disagree, vary, *right = [[round(mean, 6) for mean in row] for row in means.tolist()]
        sizes = ensemble_sizes(artifact.manifest.variants[variant].members)
        members = {"disagreement": disagree, "total_variation": vary}
        found |= {**members, "ensemble_sizes": sizes, "ensemble_accuracy": right}
    return predictions, found


def _combined(
    artifact: Artifact, variant: str, network: nn.Module, data: Prepared, split: Split
) -> tuple[Float64[Tensor, "seed example class"], Tensor | None]:
    """The combined probabilities of a variant on a split, and the `_member_sums` where there are several members.

    Members go through the network one at a time, on as many images as leave memory where it is.
    """
    manifest, state = artifact.manifest, artifact.weights[variant]
    record = manifest.variants[variant]
    weights = [{n: t[:, member].to(split.labels.device) for n, t in state.items()} for member in range(record.members)]
    rows = max(1, CELLS // (len(manifest.seeds) * record.members * manifest.images["classes"]))
    shares, sums = [], []
    for chunk, own in zip(split.images.split(rows), split.labels.split(rows), strict=True):
        settings = chunk, *manifest.moments(data), manifest.precision
        logits = torch.stack([predict(network, one, *settings) for one in weights], 1)
        finite = logits.isfinite().flatten(1).all(1)
        if not finite.all():
            seed = manifest.seeds[int(finite.logical_not().nonzero()[0, 0])]
            raise AssayError(
                f"models/{manifest.arm}: {variant} of seed {seed} puts out NaN or infinity: its training diverged; "
                "try a smaller learning rate"
            )
        shares.append(combine(logits.double(), record.combine))
        if record.members > 1:
            sums.append(_member_sums(logits, own, record.combine))
    return torch.cat(shares, 1), torch.stack(sums).sum(0) if sums else None


def of_sweep(artifact: Artifact, sweep: str, network: nn.Module, data: Prepared) -> SweepRecord:
    """Accuracy and loss at each point of a sweep of the manifest, and of ensembles of points spaced evenly along it.

    The other arguments are those of `of_variant`.
    """
    labels = data.test.labels
    about = artifact.manifest.sweeps[sweep]
    count, softmax_last = len(about.at), about.combine == "mean_logit"
    spaced = {1: range(count // 2, count // 2 + 1)}  # the middle; then from the first point to the last
    spaced |= {n: range(0, count, (count - 1) // (n - 1)) for n in range(2, count + 1) if (count - 1) % (n - 1) == 0}
    sums: dict[int, Any] = dict.fromkeys(spaced, 0.0)
    alone = []
    for index in range(count):
        weights = {name: tensor.to(labels.device) for name, tensor in point(artifact, sweep, index).items()}
        settings = data.test.images, *artifact.manifest.moments(data), artifact.manifest.precision
        logits = predict(network, weights, *settings).double()
        probabilities = logits.softmax(-1)
        alone.append(_means(probabilities, labels))
        for size, points in spaced.items():
            if index in points:
                sums[size] = sums[size] + (logits if softmax_last else probabilities)
    means = [total / size for size, total in sums.items()]
    ensembles = [_means(mean.softmax(-1) if softmax_last else mean, labels) for mean in means]
    return SweepRecord(
        axis=about.axis,
        at=about.at,
        accuracy=[accuracy for accuracy, _ in alone],
        nll=[nll for _, nll in alone],
        ensemble_sizes=list(spaced),
        ensemble_accuracy=[accuracy for accuracy, _ in ensembles],
        ensemble_nll=[nll for _, nll in ensembles],
    )


def _measured(
    probabilities: Float[Tensor, "seed example class"], labels: Int64[Tensor, " example"], how: Combine
) -> tuple[Tensor, Tensor, Tensor]:
    """Whether each answer is right, the probability of the label, and the loss in nats; each (seed, example)."""
    of_label = probabilities.gather(-1, labels.expand(len(probabilities), -1)[..., None])[..., 0]
    return probabilities.max(-1).indices == labels, of_label, -of_label.clamp(FLOOR[how], 1.0).log()


def _top(count: int, probabilities: Float[Tensor, "seed example class"], labels: Int64[Tensor, " example"]) -> Tensor:
    """Whether the label is among so many most probable classes (seed, example); of equals, the lower ones are first."""
    own = probabilities.gather(-1, labels.expand(len(probabilities), -1)[..., None])
    lower = torch.arange(probabilities.shape[-1], device=labels.device) < labels[:, None]
    return ((probabilities > own) | ((probabilities == own) & lower)).sum(-1) < count


def _means(probabilities: Float[Tensor, "seed example class"], labels: Int64[Tensor, " example"]) -> list[list[float]]:
    """Accuracy and loss of each seed."""
    correct, _, losses = _measured(probabilities, labels, "mean_probability")
    return [[round(value, 6) for value in each.double().mean(-1).tolist()] for each in (correct, losses)]


def _numpy(tensor: Tensor, dtype: torch.dtype) -> Array:
    return np.ascontiguousarray(tensor.to(dtype).cpu().numpy())


def _member_sums(
    logits: Float[Tensor, "seed member example class"], labels: Int64[Tensor, " example"], how: Combine
) -> Float64[Tensor, "kind seed"]:
    """Sums over examples: disagreement, total variation, and for each of `ensemble_sizes` how many are right."""
    probabilities = logits.double().softmax(-1)
    votes = F.one_hot(logits.argmax(-1), logits.shape[-1])
    adding = {"mean_probability": probabilities, "mean_logit": logits.double(), "majority_vote": votes}
    together = adding[how].cumsum(1)
    first = [together[:, size - 1].argmax(-1) == labels for size in ensemble_sizes(logits.shape[1])]
    kinds = [disagreement(votes.sum(1)), total_variation(probabilities), *first]
    return torch.stack([kind.double().sum(-1) for kind in kinds])


def ensemble_sizes(members: int) -> list[int]:
    """The numbers of members at which ensembles are measured: all up to 8, then powers of 2, and the last."""
    return sorted({count for count in range(1, members + 1) if count <= 8 or count.bit_count() == 1} | {members})


def disagreement(votes: Int64[Tensor, "seed example class"]) -> Float64[Tensor, "seed example"]:
    """The share of pairs of two or more members that label an example differently (Kuncheva and Whitaker 2003)."""
    members = votes[0, 0].sum()
    return 1 - (votes * (votes - 1)).sum(-1).double() / (members * (members - 1))


def total_variation(probabilities: Float64[Tensor, "seed member example class"]) -> Float64[Tensor, "seed example"]:
    """The total-variation distance of two members, ½ Σ |p_i - p_j| over classes, averaged over all pairs; 0 to 1.

    In sorted order the k-th of M numbers (from 0) is the larger one in k of its pairs, the smaller one in M - 1 - k.
    """
    members = probabilities.shape[1]
    ranked = probabilities.sort(1).values
    factors = 2 * torch.arange(members, dtype=ranked.dtype, device=ranked.device) - (members - 1)
    return torch.einsum("m,smnc->sn", factors, ranked) / (members * (members - 1))
