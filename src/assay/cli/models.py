"""`assay models`: the table of docs/models.md, counted from the networks themselves."""

from __future__ import annotations

from math import prod

from assay import models
from assay.data.sets.images import Images

DATA_SETS = {"MNIST": Images(1, 28, 28, 10), "CIFAR-10": Images(3, 32, 32, 10)}


def main() -> None:
    """Print a row for each model and each of its examples: weights / parameters, per data set."""
    header = ["name", "arguments", *(f"{data}: weights / parameters" for data in DATA_SETS), "smallest side", "source"]
    rows, examples = [header, ["---"] * len(header)], models.literals("EXAMPLES")
    for stem, sources in models.literals("MODELS").items():
        for name, source in sources.items():
            for arguments in examples.get(stem, {}).get(name, [{}]):
                given = ", ".join(f"{key}: {str(value).lower()}" for key, value in arguments.items())
                counts = []
                for images in DATA_SETS.values():
                    network = models.blueprint(name, images, arguments)
                    shapes = network.state_dict()
                    weights = sum(prod(shapes[weight].shape) for weight in models.weight_names(network))
                    counts.append(f"{weights:,} / {models.parameter_count(network):,}")
                side = models.smallest_side(name, DATA_SETS["CIFAR-10"], arguments)
                rows.append([f"`{name}`", f"`{given}`" if given else "", *counts, str(side), source])
    print("\n".join("| " + " | ".join(cells) + " |" for cells in rows))
