"""The table of docs/models.md, counted from the networks themselves."""

from __future__ import annotations

from math import prod
from typing import Any

from assay.data.sets.images import Images
from assay.models.fit import smallest_side
from assay.models.registry import FAMILIES, blueprint
from assay.models.weights import parameter_count, weight_names

DATA_SETS = {"MNIST": Images(1, 28, 28, 10), "CIFAR-10": Images(3, 32, 32, 10)}
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "mlp": [{"hidden": [32]}],
    "vgg": [{"depth": depth} for depth in (11, 13, 16, 19)] + [{"widths": [[32], [64]], "batch_norm": False}],
}


def markdown() -> str:
    """One row for each model, several where its arguments change the counts: weights / parameters, per data set."""
    header = ["name", "arguments", *(f"{data}: weights / parameters" for data in DATA_SETS), "smallest side", "source"]
    rows = [_row(name, arguments) for name in FAMILIES for arguments in EXAMPLES.get(name, [{}])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows])


def _row(name: str, arguments: dict[str, Any]) -> list[str]:
    given = ", ".join(f"{key}: {str(value).lower()}" for key, value in arguments.items())
    counts = [_counts(name, images, arguments) for images in DATA_SETS.values()]
    side = smallest_side(name, DATA_SETS["CIFAR-10"], arguments)
    return [f"`{name}`", f"`{given}`" if given else "", *counts, str(side), FAMILIES[name].source]


def _counts(name: str, images: Images, arguments: dict[str, Any]) -> str:
    network = blueprint(name, images, arguments)
    shapes = network.state_dict()
    weights = sum(prod(shapes[weight].shape) for weight in weight_names(network))
    return f"{weights:,} / {parameter_count(network):,}"
