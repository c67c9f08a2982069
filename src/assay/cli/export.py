"""`assay export MODEL_DIR --variant line --alpha 0.3 --out FILE`: a network as a plain state dict.

The file loads with `load_state_dict` into what `assay.models.build` returns: `torch.load` reads a `.pt`,
`safetensors.torch.load_file` a `.safetensors`. What is exported is a member of a variant, or with `--alpha` the network
at any place on a line or curve that the arm trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from assay import models
from assay.core import files
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError
from assay.data.sets import prepared
from assay.data.sets.images import Images
from assay.engine import batch_norm
from assay.methods import subspace
from assay.models import artifact
from assay.models import sparse as sparse_files

if TYPE_CHECKING:
    from torch import Tensor

    from assay.models.artifact import Artifact

PREPARED = Path("data/prepared")


def state_of(trained: Artifact, variant: str, seed: int, number: int = 0) -> dict[str, Tensor]:
    """The state dict of one network of a variant.

    Args:
        trained: the trained networks.
        variant: a name from the manifest.
        seed: one of the manifest's seeds.
        number: which of the variant's members, from 0.

    Raises:
        AssayError: there is no such variant, seed or member; the line names the argument.
    """
    variants = trained.manifest.variants
    if variant not in variants:
        sweeps = "".join(f", and with --alpha {name}" for name in trained.manifest.sweeps)
        raise AssayError(
            f"--variant: {trained.manifest.arm} has no {variant!r}; {suggestion(variant, list(variants))}{sweeps}"
        )
    if not 0 <= number < variants[variant].members:
        raise AssayError(f"--member: {variant} has members 0 to {variants[variant].members - 1}, not {number}")
    return artifact.state_dict(trained, variant, _index(trained, seed), number)


def at(trained: Artifact, sweep: str, alpha: float, seed: int, data: Path = PREPARED) -> dict[str, Tensor]:
    """The state dict of the network at α on a line or curve.

    Batch norm's statistics are stored for the points of the sweep; for a point between them they are computed from the
    training set, which must be the one that the arm was trained on.

    Args:
        trained: the trained networks.
        sweep: `line` or `curve`, whichever the arm trained.
        alpha: α, from 0 to 1.
        seed: one of the manifest's seeds.
        data: the folder of the prepared data; read only for statistics that are not stored.

    Raises:
        AssayError: α or the seed is wrong, there is no such line or curve, or the data that is needed is missing or
            another; the line names the argument.
    """
    manifest, index = trained.manifest, _index(trained, seed)
    if sweep not in manifest.sweeps:
        known = suggestion(sweep, list(manifest.sweeps))
        raise AssayError(f"--variant: {manifest.arm} has no {sweep!r} to go along with --alpha; {known}")
    if not 0 <= alpha <= 1:
        raise AssayError(f"--alpha: got {alpha}; it should be from 0 to 1")
    points = manifest.sweeps[sweep].at
    if alpha in points:
        return {name: tensor[index] for name, tensor in artifact.point(trained, sweep, points.index(alpha)).items()}
    shape: subspace.Shape = "curve" if sweep == "curve" else "line"
    row = subspace.along(shape, torch.tensor(alpha, dtype=torch.float64)).tolist()
    parameters = {name: tensor[index] for name, tensor in artifact.mixed(trained, sweep, row).items()}
    near = {name: tensor[index] for name, tensor in artifact.point(trained, sweep, 0).items() if name not in parameters}
    return parameters | (_buffers(trained, parameters, near, data) if near else {})


def write(path: Path, state: dict[str, Tensor]) -> None:
    """Write a state dict, atomically, in the format of the file's suffix.

    Raises:
        AssayError: the suffix is neither `.safetensors` nor `.pt` or `.pth`.
    """
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise AssayError(f"--out: {path}: unknown suffix {path.suffix!r}; use .safetensors, .pt or .pth")
    own = {name: tensor.contiguous().clone() for name, tensor in state.items()}  # a slice would take its stack along
    with files.replacing(path) as temporary:
        if path.suffix == ".safetensors":
            save_file(own, temporary)
        else:
            with temporary.open("wb") as stream:
                torch.save(own, stream)


def _index(trained: Artifact, seed: int) -> int:
    seeds = trained.manifest.seeds
    if seed not in seeds:
        raise AssayError(f"--seed: {trained.manifest.arm} has seeds {', '.join(map(str, seeds))}, not {seed}")
    return seeds.index(seed)


def _buffers(
    trained: Artifact, parameters: dict[str, Tensor], buffers: dict[str, Tensor], folder: Path
) -> dict[str, Tensor]:
    """Batch norm's statistics for these parameters, from the prepared training set."""
    manifest = trained.manifest
    data = prepared.load(folder, torch.device("cpu"), ("train",))
    if data.digest != manifest.data_digest:
        known = ", ".join(map(str, next(iter(manifest.sweeps.values())).at))
        raise AssayError(
            f"--data: {folder}: {manifest.arm} was trained on {manifest.data_digest[:12]}, this is {data.digest[:12]}; "
            f"batch norm needs that data at this alpha; it does not at {known}"
        )
    network = models.build(manifest.model.name, Images(**manifest.images), **manifest.model.arguments)
    weights, stacked = ({n: t.unsqueeze(0) for n, t in state.items()} for state in (parameters, buffers))
    batch_size = int(manifest.parameters["train"]["batch_size"])
    found = batch_norm.recomputed(network, weights, stacked, data, batch_size)
    return {name: tensor[0] for name, tensor in found.items()}


def main(
    model: Path,
    out: Path,
    variant: str | None = None,
    alpha: float | None = None,
    seed: int | None = None,
    member: int = 0,
    data: Path = PREPARED,
    sparse: bool = False,
) -> None:
    """Read a model, write one of its networks; `seed` and `variant` are by default its first.

    Raises:
        AssayError: as `state_of`, `at` and `write`.
    """
    trained = artifact.read(model)
    whose = trained.manifest.seeds[0] if seed is None else seed
    if alpha is None:
        state = state_of(trained, variant or next(iter(trained.manifest.variants)), whose, member)
    else:
        state = at(trained, variant or next(iter(trained.manifest.sweeps), ""), alpha, whose, data)
    (sparse_files.write if sparse else write)(out, state)
    print(f"{out}: {sum(tensor.numel() for tensor in state.values())} numbers in {len(state)} tensors")
