"""`python -m assay.models` prints the table of docs/models.md, counted from the networks themselves."""

from __future__ import annotations

from math import prod

from assay import models
from assay.data.sets.images import Images

DATA_SETS = {"MNIST": Images(1, 28, 28, 10), "CIFAR-10": Images(3, 32, 32, 10)}


def markdown() -> str:
    """One row for each model and each of its examples: weights / parameters, per data set."""
    header = ["name", "arguments", *(f"{data}: weights / parameters" for data in DATA_SETS), "smallest side", "source"]
    rows, examples = [header, ["---"] * len(header)], models.literals("EXAMPLES")
    for stem, sources in models.literals("MODELS").items():
        for name, source in sources.items():
            for arguments in examples.get(stem, {}).get(name, [{}]):
                given = ", ".join(f"{key}: {str(value).lower()}" for key, value in arguments.items())
                row = [f"`{name}`", f"`{given}`" if given else ""]
                for images in DATA_SETS.values():
                    network = models.blueprint(name, images, arguments)
                    weights = sum(prod(network.get_parameter(one).shape) for one in models.weight_names(network))
                    row.append(f"{weights:,} / {models.parameter_count(network):,}")
                rows.append([*row, str(models.smallest_side(name, DATA_SETS["CIFAR-10"], arguments)), source])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


if __name__ == "__main__":
    print(markdown())
