"""Trained networks on disk: one safetensors file of stacked weights, one manifest that says what they are.

`weights.safetensors` holds, for every variant of an arm, tensors named `<variant>/<parameter or buffer>` of shape
`(S, M, *shape)`: S seeds, M members whose predictions are combined. The names are those of the plain module that
`assay.models.build` returns, so a slice `[seed, member]` loads into it with `load_state_dict`. Beside a pruned variant
stand its masks, under `<variant>.mask/<parameter>`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor  # noqa: TC002 (pydantic-style annotations are read at run time)

from assay import files
from assay.errors import AssayError
from assay.parsing import parse

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS, MANIFEST = "weights.safetensors", "manifest.json"
MASKS = ".mask"
Combine = Literal["mean_probability", "majority_vote"]


class Record(BaseModel):
    """A part of the manifest. Unknown keys are kept: a method may record more about itself."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


class Cost(Record):
    """What one network of a variant cost to train, counted, not timed; a mean where seeds differ.

    Attributes:
        train_samples: examples that went forward and backward.
        forward_samples: examples that went forward only, such as those of a scoring pass; validation is not billed.
        optimizer_steps: updates of the weights.
    """

    train_samples: int | float = 0
    forward_samples: int | float = 0
    optimizer_steps: int | float = 0


class Variant(Record):
    """One way to predict with what an arm trained.

    Attributes:
        members: M, the networks whose predictions are combined.
        combine: how they are combined; with one member it makes no difference.
        density: the share of weights that is not pruned.
        cost: what training it cost.
        best_step: for each seed, the step of the least validation loss; empty where nothing was evaluated.
        validation_loss: for each seed, at the end of training; empty where there is no validation set.
        validation_accuracy: likewise.
    """

    members: int = Field(ge=1)
    combine: Combine = "mean_probability"
    density: float = Field(default=1.0, gt=0, le=1)
    cost: Cost = Cost()
    best_step: list[int] = []
    validation_loss: list[float] = []
    validation_accuracy: list[float] = []


class ModelRecord(Record):
    """The architecture: `assay.models.build(name, images, **arguments)` makes the network again."""

    name: str
    arguments: dict[str, Any] = {}


class Manifest(Record):
    """What the weights beside it are.

    Attributes:
        arm: the arm's name, `baseline` or `round-<n>`.
        method: the method's name.
        seeds: one network (of M members) for each.
        model: the architecture.
        images: channels, height, width and classes of the data it was built for.
        parameters: the parameters as resolved, every override applied.
        data_digest: the digest of the prepared data.
        variants: by name, in the order in which a reader should meet them; the first is what the bare arm stands for.
        record: what the method has to say of its training beside the weights, such as how often each batch was seen.
    """

    arm: str
    method: str
    seeds: list[int]
    model: ModelRecord
    images: dict[str, int]
    parameters: dict[str, Any]
    data_digest: str
    variants: dict[str, Variant]
    record: dict[str, Any] = {}


class Artifact(BaseModel):
    """A manifest with its weights: for each variant, tensors `(S, M, *shape)` by parameter or buffer name."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    manifest: Manifest
    weights: dict[str, dict[str, Tensor]]


def write(folder: Path, artifact: Artifact) -> None:
    """Write an artifact as a directory, whole or not at all; equal artifacts give equal bytes.

    Raises:
        AssayError: manifest and weights do not belong together.
    """
    check(artifact, str(folder))
    tensors = {
        f"{variant}/{name}": tensor.detach().cpu().contiguous()
        for variant, state in artifact.weights.items()
        for name, tensor in state.items()
    }
    with files.replacing(folder) as temporary:
        temporary.mkdir()
        save_file(tensors, temporary / WEIGHTS)
        files.write_json(temporary / MANIFEST, artifact.manifest.model_dump(mode="json"))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest alone.

    Raises:
        AssayError: it is missing or not a manifest.
    """
    path = folder / MANIFEST
    try:
        return parse(Manifest, files.read_json(path), str(path))
    except FileNotFoundError:
        raise AssayError(f"{path}: not found; `dvc repro` trains it, `dvc pull` fetches it") from None
    except ValueError as error:
        raise AssayError(f"{path}: not JSON ({error}); delete {folder} and run `dvc repro`") from None


def read(folder: Path) -> Artifact:
    """Read an artifact and check it.

    Raises:
        AssayError: a file is missing or damaged, or manifest and weights do not belong together.
    """
    manifest = read_manifest(folder)
    path = folder / WEIGHTS
    try:
        tensors = load_file(path)
    except (FileNotFoundError, SafetensorError) as error:
        raise AssayError(f"{path}: {error}; delete {folder} and run `dvc repro`") from None
    weights: dict[str, dict[str, Tensor]] = {variant: {} for variant in manifest.variants}
    for key, tensor in tensors.items():
        variant, _, name = key.partition("/")
        if variant.removesuffix(MASKS) not in manifest.variants:
            raise AssayError(f"{path}: {key}: its variant is not in the manifest ({', '.join(weights)})")
        weights.setdefault(variant, {})[name] = tensor
    artifact = Artifact(manifest=manifest, weights=weights)
    check(artifact, str(path))
    return artifact


def check(artifact: Artifact, where: str) -> None:
    """Compare shapes with the manifest.

    Raises:
        AssayError: a variant has no weights, or a tensor does not begin with (seeds, members).
    """
    seeds = len(artifact.manifest.seeds)
    for name, variant in artifact.manifest.variants.items():
        state = artifact.weights.get(name)
        if not state:
            raise AssayError(f"{where}: the variant {name!r} of the manifest has no weights")
        for key, tensor in state.items():
            if tuple(tensor.shape[:2]) != (seeds, variant.members):
                expected = f"({seeds} seeds, {variant.members} members, ...)"
                raise AssayError(f"{where}: {name}/{key} has shape {tuple(tensor.shape)}; the manifest says {expected}")


def state_dict(artifact: Artifact, variant: str, seed: int, member: int = 0) -> dict[str, Tensor]:
    """The weights of one network, ready for `load_state_dict` of the plain module; `seed` is an index, 0 to S-1."""
    return {name: tensor[seed, member] for name, tensor in artifact.weights[variant].items()}
