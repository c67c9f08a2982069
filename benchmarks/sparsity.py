"""`make bench-sparse`: what the sparsity of pruned networks buys in bytes on disk and in milliseconds, round by round.

It reads models/baseline and models/round-<n> and writes benchmarks/sparsity.json, which the report shows beside results
of the same model and data. The two networks of a round are timed in turn, many times over, and a figure is the median.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from assay.core import config, files, runtime
from assay.core.errors import AssayError, one_line_errors
from assay.data.sets.images import Images
from assay.models import artifact, sparse
from assay.report import readme
from assay.report.report import SPARSITY
from benchmarks.engine import medians

BATCHES, REPEATS, SECONDS = (1, 256), 9, 0.05


def measure(number: int, arm: str) -> dict[str, Any]:
    """Bytes and latency of the first seed of a round's ticket, or of the dense network as round 0."""
    trained = artifact.read(Path("models") / arm)
    manifest = trained.manifest
    variant, record = next(iter(manifest.variants.items()))
    images = Images(**manifest.images)
    state = artifact.state_dict(trained, variant, seed=0)
    dense, other = manifest.network(), manifest.network()
    dense.load_state_dict(state)
    other.load_state_dict(state)
    networks = {"dense": dense.eval(), "sparse": sparse.sparse_network(other.eval())}
    latency: dict[str, dict[str, float]] = {name: {} for name in networks}
    for batch in BATCHES:
        inputs = torch.randn(batch, *images.shape, generator=runtime.generator(0, "bench-sparse", batch))
        with torch.inference_mode():
            if not torch.allclose(networks["dense"](inputs), networks["sparse"](inputs), rtol=1e-3, atol=1e-4):
                raise AssayError(f"models/{arm}: the sparse network's logits are not those of the dense one")
            steps = {name: partial(network, inputs) for name, network in networks.items()}
            for name, seconds in medians(steps, REPEATS, SECONDS).items():
                latency[name][str(batch)] = round(1e3 * seconds, 4)
    return {
        "round": number,
        "model": manifest.model.name,
        "data_digest": manifest.data_digest,
        "density": record.density,
        "dense_bytes": len(sparse.encoded({name: torch.ones_like(tensor) for name, tensor in state.items()})),
        "sparse_bytes": len(sparse.encoded(state)),
        "latency_ms": latency,
        "machine": {"processor": runtime.processor(), "threads": torch.get_num_threads(), "torch": torch.__version__},
    }


if __name__ == "__main__":
    with one_line_errors():
        runtime.set_up()
        names = [config.BASELINE, *config.load().lottery.names]
        files.write_json(SPARSITY, [measure(number, name) for number, name in enumerate(names)])
        print(readme.KINDS["sparsity"](Path()))
