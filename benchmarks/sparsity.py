"""`make bench-sparse`: what the sparsity of pruned networks buys in bytes on disk and in milliseconds, round by round.

It reads models/baseline and models/round-<n> and writes benchmarks/sparsity.json, which the report shows beside results
of the same model and data. The two networks of a round are timed in turn, many times over, and a figure is the median.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from assay import models
from assay.core import config, files, runtime
from assay.core.config import BASELINE
from assay.core.errors import AssayError, one_line_errors
from assay.data.sets.images import Images
from assay.models import artifact, sparse
from benchmarks.engine import medians

RESULTS, MODELS = Path("benchmarks/sparsity.json"), Path("models")
BATCHES, REPEATS, SECONDS = (1, 256), 9, 0.05


def measure(trained: artifact.Artifact, number: int) -> dict[str, Any]:
    """Bytes and latency of the first seed of a round's ticket, or of the dense network as round 0.

    Raises:
        AssayError: the sparse network says something else than the dense one.
    """
    manifest = trained.manifest
    variant, record = next(iter(manifest.variants.items()))
    images = Images(**manifest.images)
    state = artifact.state_dict(trained, variant, seed=0)
    dense, other = (models.build(manifest.model.name, images, **manifest.model.arguments) for _ in range(2))
    dense.load_state_dict(state)
    other.load_state_dict(state)
    networks = {"dense": dense.eval(), "sparse": sparse.sparse_network(other.eval())}
    latency: dict[str, dict[str, float]] = {name: {} for name in networks}
    for batch in BATCHES:
        inputs = torch.randn(batch, *images.shape, generator=runtime.generator(0, "bench-sparse", batch))
        with torch.inference_mode():
            if not torch.allclose(networks["dense"](inputs), networks["sparse"](inputs), rtol=1e-3, atol=1e-4):
                raise AssayError(f"models/{manifest.arm}: the sparse network's logits are not those of the dense one")
            steps = {name: partial(network, inputs) for name, network in networks.items()}
            for name, seconds in medians(steps, REPEATS, SECONDS).items():
                latency[name][str(batch)] = round(1e3 * seconds, 4)
    whole = {name: torch.ones_like(tensor) for name, tensor in state.items()}
    return {
        "round": number,
        "model": manifest.model.name,
        "data_digest": manifest.data_digest,
        "density": record.density,
        "dense_bytes": len(sparse.encoded(whole)),
        "sparse_bytes": len(sparse.encoded(state)),
        "latency_ms": latency,
    }


def main() -> None:
    """Measure every round that params.yaml names, print, and write the file."""
    runtime.set_up()
    names = [BASELINE, *config.load().lottery.names]
    rounds = [measure(artifact.read(MODELS / name), number) for number, name in enumerate(names)]
    kinds = [(name, batch) for batch in BATCHES for name in ("dense", "sparse")]
    columns = [f"{name}, batch {batch}, ms" for name, batch in kinds]
    table = Table("round", "weights left, %", "dense, kB", "sparse, kB", *columns)
    for one in rounds:
        shown = [100 * one["density"], one["dense_bytes"] / 1000, one["sparse_bytes"] / 1000]
        shown += [one["latency_ms"][name][str(batch)] for name, batch in kinds]
        table.add_row(str(one["round"]), *(f"{value:.3g}" if value < 1 else f"{value:.1f}" for value in shown))
    Console(highlight=False).print(table)
    machine = {"processor": runtime.processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    files.write_json(RESULTS, [{**one, "machine": machine} for one in rounds])


if __name__ == "__main__":
    with one_line_errors():
        main()
