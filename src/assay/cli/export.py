"""`assay export MODEL_DIR --variant line --alpha 0.3 --out FILE`: a network as a plain state dict, or a model as ONNX.

A state dict loads with `load_state_dict` into what `assay.models.build` returns: `torch.load` reads a `.pt`,
`safetensors.torch.load_file` a `.safetensors`. It is that of one member of a variant, or with `--alpha` of the network
at any place on a line or curve that the arm trained. An `.onnx` goes from raw pixels to probabilities, all members of
the variant combined unless one is named.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from assay.core import files
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError
from assay.data.sets import prepared
from assay.data.sets.images import Images
from assay.engine import batch_norm
from assay.methods import subspace
from assay.models import artifact, nets, predictor, sparse

if TYPE_CHECKING:
    from torch import Tensor

    from assay.data.sets.prepared import Prepared
    from assay.models.artifact import Artifact

ONNX = ".onnx"


def main(
    model: Path,
    out: Path,
    variant: str | None = None,
    alpha: float | None = None,
    seed: int | None = None,
    member: int | None = None,
    data: Path = Path("data/prepared"),
    sparse: bool = False,
) -> None:
    """Read a model from the folder `model`, write one of its networks to `out`: what `assay export --help` says.

    `data`, the folder of the prepared data, is read for ONNX's normalisation, and for batch norm's statistics that are
    not stored.

    Raises:
        AssayError: an argument is wrong, or the data that is needed is missing or another; the line names the argument.
    """
    trained = artifact.read(model)
    manifest = trained.manifest
    if seed is not None and seed not in manifest.seeds:
        raise AssayError(f"--seed: {manifest.arm} has seeds {', '.join(map(str, manifest.seeds))}, not {seed}")
    index = 0 if seed is None else manifest.seeds.index(seed)
    if alpha is None:
        name = variant or next(iter(manifest.variants))
        if name not in manifest.variants:
            known = suggestion(name, list(manifest.variants))
            sweeps = "".join(f", and with --alpha {sweep}" for sweep in manifest.sweeps)
            raise AssayError(f"--variant: {manifest.arm} has no {name!r}; {known}{sweeps}")
        count, combine = manifest.variants[name].members, manifest.variants[name].combine
        if member is not None and not 0 <= member < count:
            raise AssayError(f"--member: {name} has members 0 to {count - 1}, not {member}")
        chosen = range(count) if member is None and out.suffix == ONNX else [member or 0]
        states = [artifact.state_dict(trained, name, index, one) for one in chosen]
    else:
        states = [_along(trained, variant or next(iter(manifest.sweeps), ""), alpha, index, data)]
        combine = "mean_probability"
    numbers = sum(tensor.numel() for state in states for tensor in state.values())
    if out.suffix == ONNX:
        if sparse:
            raise AssayError("--sparse: ONNX holds all numbers; leave the option out, or write a .safetensors")
        about = _prepared(data, trained, "its normalisation goes into the model", ())
        images = Images(**manifest.images)
        predictor.write_onnx(predictor.of_states(trained, states, combine, about), images, out)
        shape = ", ".join(map(str, images.shape))
        print(f"{out}: uint8 images (n, {shape}) to probabilities (n, {images.classes}); {numbers} numbers")
        return
    _write(out, states[0], sparse)
    print(f"{out}: {numbers} numbers in {len(states[0])} tensors")


def _prepared(folder: Path, trained: Artifact, needed: str, splits: tuple[str, ...]) -> Prepared:
    """The data that an arm was trained on; an `AssayError` says that `folder` holds other data, and why it matters."""
    data, manifest = prepared.load(folder, torch.device("cpu"), splits), trained.manifest
    if data.digest != manifest.data_digest:
        raise AssayError(
            f"--data: {folder}: {manifest.arm} was trained on {manifest.data_digest[:12]}, this is "
            f"{data.digest[:12]}; {needed}"
        )
    return data


def _along(trained: Artifact, sweep: str, alpha: float, index: int, folder: Path) -> dict[str, Tensor]:
    """The state dict at α on a line or curve, of the seed at `index`.

    Batch norm's statistics are stored for the points of the sweep; for a point between them they are computed from the
    training set in `folder`, which must be the one that the arm was trained on.
    """
    manifest = trained.manifest
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
    weights = {name: tensor[[index]] for name, tensor in artifact.mixed(trained, sweep, row).items()}
    near = {name: one[[index]] for name, one in artifact.point(trained, sweep, 0).items() if name not in weights}
    if near:
        known = ", ".join(map(str, points))
        data = _prepared(
            folder, trained, f"batch norm needs that data at this alpha; it does not at {known}", ("train",)
        )
        mean, std = manifest.moments(data)
        data = replace(data, mean=tuple(mean), std=tuple(std))
        batch_size = int(manifest.parameters["train"]["batch_size"])
        network = manifest.network()
        is_frozen = manifest.parameters["train"].get("backbone_lr") == 0
        frozen = dict(network.named_parameters()).keys() - nets.head(network) if is_frozen else ()
        settings = data, batch_size, manifest.precision
        weights |= batch_norm.recomputed(network, weights, near, *settings, frozen=frozen)
    return {name: tensor[0] for name, tensor in weights.items()}


def _write(path: Path, state: dict[str, Tensor], without_zeros: bool) -> None:
    if without_zeros:
        sparse.write(path, state)
        return
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise AssayError(f"--out: {path}: unknown suffix {path.suffix!r}; use .safetensors, .pt, .pth or .onnx")
    own = {name: tensor.contiguous().clone() for name, tensor in state.items()}  # a slice would take its stack along
    with files.replacing(path) as temporary:
        if path.suffix == ".safetensors":
            save_file(own, temporary)
        else:
            with temporary.open("wb") as stream:
                torch.save(own, stream)
