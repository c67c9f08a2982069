"""Along a path of networks, point by point: a plot's worth of accuracy and loss, blind to what the path is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.engine.stack import predict
from assay.models import artifact as artifacts
from assay.scoring.predict import FLOOR
from assay.scoring.record import SweepRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64, UInt8
    from torch import Tensor, nn

    from assay.models.artifact import Artifact


def of_sweep(
    artifact: Artifact,
    sweep: str,
    network: nn.Module,
    images: UInt8[Tensor, "example c h w"],
    labels: Int64[Tensor, " example"],
    mean: Sequence[float],
    std: Sequence[float],
) -> SweepRecord:
    """Accuracy and loss at each point of a sweep, and of ensembles of points that are spaced evenly along it.

    Args:
        artifact: the trained networks.
        sweep: a name from the manifest.
        network: the plain module, on the images' device; its own weights are never used.
        images: raw pixels, on the device where the networks run.
        labels: class numbers.
        mean: per channel, on the scale of the pixels (0 to 255).
        std: likewise.
    """
    about = artifact.manifest.sweeps[sweep]
    sums: dict[int, Tensor] = {}
    accuracy, nll = [], []
    spaced = {size: _spaced(len(about.at), size) for size in _ensemble_sizes(len(about.at))}
    for index in range(len(about.at)):
        weights = {name: tensor.to(images.device) for name, tensor in artifacts.point(artifact, sweep, index).items()}
        logits = predict(network, weights, images, mean, std).double()
        probabilities = logits.softmax(-1)
        adding = logits if about.combine == "mean_logit" else probabilities
        accuracy.append(_accuracy(probabilities, labels))
        nll.append(_nll(probabilities, labels))
        for size, points in spaced.items():
            if index in points:
                sums[size] = sums[size] + adding if size in sums else adding
    means = {size: total / size for size, total in sums.items()}
    if about.combine == "mean_logit":
        means = {size: mean.softmax(-1) for size, mean in means.items()}
    return SweepRecord(
        axis=about.axis,
        at=about.at,
        accuracy=accuracy,
        nll=nll,
        ensemble_sizes=list(spaced),
        ensemble_accuracy=[_accuracy(means[size], labels) for size in spaced],
        ensemble_nll=[_nll(means[size], labels) for size in spaced],
    )


def _ensemble_sizes(points: int) -> list[int]:
    """1, and every number of points that can be spaced evenly from the first to the last."""
    return [1, *(size for size in range(2, points + 1) if (points - 1) % (size - 1) == 0)]


def _spaced(points: int, size: int) -> range:
    """So many of the points, from the first to the last; one is the middle."""
    return range(points // 2, points // 2 + 1) if size == 1 else range(0, points, (points - 1) // (size - 1))


def _accuracy(probabilities: Float[Tensor, "seed example class"], labels: Int64[Tensor, " example"]) -> list[float]:
    return [round(value, 6) for value in (probabilities.argmax(-1) == labels).double().mean(-1).tolist()]


def _nll(probabilities: Float[Tensor, "seed example class"], labels: Int64[Tensor, " example"]) -> list[float]:
    of_label = probabilities.gather(-1, labels.expand(len(probabilities), -1)[..., None])[..., 0]
    losses = -of_label.clamp_min(FLOOR["mean_probability"]).log().mean(-1)
    return [round(value, 6) for value in losses.tolist()]
