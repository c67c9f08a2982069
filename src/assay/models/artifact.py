"""Trained networks on disk: one safetensors file of stacked weights, one manifest that says what they are.

`weights.safetensors` holds, for every variant of an arm, tensors named `<variant>/<parameter or buffer>` of shape
`(S, M, *shape)`: S seeds, M members whose predictions are combined. The names are those of the plain module that
`assay.models.build` returns, so a slice `[seed, member]` loads into it with `load_state_dict`. A pruned variant's masks
are under `<variant>.mask/<parameter>`. A sweep, a path of networks that lie in the span of a few, keeps what it
combines under `<sweep>.points/<parameter>`, unless a variant holds it already, and the buffers of each of its points
under `<sweep>.buffers/<buffer>`, `(S, point, *shape)`.

The manifest holds the SHA-256 of the weights and of its own content. Readers refuse files that do not match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from assay.core import errors, files
from assay.core.config import parsing
from assay.core.errors import AssayError
from assay.data.sets.images import Images
from assay.models import build, scratch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float

WEIGHTS, MANIFEST = "weights.safetensors", "manifest.json"
MASKS = ".mask"
POINTS, BUFFERS = ".points", ".buffers"
Combine = Literal["mean_probability", "mean_logit", "majority_vote"]


class HasMoments(Protocol):
    """A data set, or a record of one, with mean and deviation of its pixels per channel, 0 to 255."""

    @property
    def mean(self) -> Sequence[float]: ...  # noqa: D102

    @property
    def std(self) -> Sequence[float]: ...  # noqa: D102


class Record(BaseModel):
    """A part of the manifest. Unknown keys are kept: a method may record more about itself."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


class Cost(Record):
    """What one network of a variant cost to train, counted, not timed; a mean where seeds differ.

    It is all that the variant rests on: a lottery ticket's holds the trainings that found its mask.
    """

    train_samples: int | float = 0  # examples that went forward and backward
    forward_samples: int | float = 0  # only forward, such as those of a scoring pass; validation is not billed
    optimizer_steps: int | float = 0  # updates of the weights
    tuning_samples: int | float = 0  # examples of the trainings of a grid that were not chosen, counted apart

    def __add__(self, other: Cost) -> Cost:
        return Cost(**{name: getattr(self, name) + getattr(other, name) for name in Cost.model_fields})


class Variant(Record):
    """One way to predict with what an arm trained. Lists have a number a seed, or none where nothing is known."""

    members: int = Field(ge=1)  # M, the networks whose predictions are combined
    combine: Combine = "mean_probability"  # with one member it makes no difference
    density: float = Field(default=1.0, gt=0, le=1)  # the share of weights that is not pruned
    cost: Cost = Cost()
    best_step: list[int] = []  # the step of the least validation loss
    best_step_accuracy: list[float] = []  # on the test set at that step
    validation_loss: list[float] = []  # at the end of training
    validation_accuracy: list[float] = []  # likewise


class Sweep(Record):
    """A path of networks, each a linear combination of stored ones; evaluation walks along it, point by point."""

    axis: str  # what changes along it, such as `alpha`
    at: list[float]  # where on the axis each point is
    tensors: str  # what is combined: the members of a variant, by its name, or `<sweep>.points`
    coefficients: list[list[float]]  # for each point, the factor of each network that is combined
    combine: Combine = "mean_probability"  # how the predictions of several points become one


class ModelRecord(Record):
    """The architecture, and what it started from; `Manifest.network` makes the network again."""

    name: str
    arguments: dict[str, Any] = {}
    flops_per_sample: int | None = None  # of the whole network for one image: a forward pass
    flops_per_train_sample: int | None = None  # and with the backward pass
    weights_sha256: str | None = Field(default=None, exclude_if=lambda value: value is None)  # of pretrained weights


class Normalisation(Record):
    """What images are normalised with, per channel, on the scale of the pixels, 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Manifest(Record, parsing.Digested):
    """What the weights beside it are."""

    arm: str  # the arm's name, `baseline` or `round-<n>`
    method: str
    seeds: list[int]  # one network (of M members) for each
    model: ModelRecord
    images: dict[str, int]  # channels, height, width and classes of the data it was built for
    parameters: dict[str, Any]  # as resolved, every override applied
    data_digest: str  # of the prepared data
    variants: dict[str, Variant]  # in the order to show them in; the first is what the bare arm stands for
    record: dict[str, Any] = {}  # what the method has to say of its training, such as how often each batch was seen
    sweeps: dict[str, Sweep] = {}  # paths of networks to evaluate point by point, by name
    weights_sha256: str = ""  # of the file of weights; `write` fills it in
    block: int = 0  # which of the arm's blocks of seeds (seeds.yaml); 0 is the first
    normalisation: Normalisation | None = Field(default=None, exclude_if=lambda value: value is None)  # not the data's

    def network(self) -> nn.Module:
        """The plain module, with weights of its own that mean nothing: fresh ones, whatever the training began with."""
        return build(self.model.name, Images(**self.images), **scratch(self.model.arguments))

    def moments(self, data: HasMoments) -> tuple[Sequence[float], Sequence[float]]:
        """The mean and deviation that images are normalised with: its own, or the data's."""
        own = self.normalisation or data
        return own.mean, own.std

    @property
    def precision(self) -> str:
        """What it was trained with, and is evaluated with."""
        return str(self.parameters["train"]["precision"])


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
        digest = files.file_digest(temporary / WEIGHTS)
        manifest = artifact.manifest.model_copy(update={"weights_sha256": digest})
        files.write_json(temporary / MANIFEST, manifest.signed())


def verified(folder: Path) -> Manifest:
    """Read the manifest, and compare the file of weights with its digest; errors as of `read`."""
    path, again = folder / MANIFEST, errors.again(folder)
    manifest = parsing.read(Manifest, path, "`dvc repro` trains it, `dvc pull` fetches it", again)
    manifest.verify(path, again)
    path = folder / WEIGHTS
    if not path.is_file():
        raise AssayError(f"{path}: not found; {again}")
    if files.file_digest(path) != manifest.weights_sha256:
        raise AssayError(f"{path}: damaged or altered: not the SHA-256 in {MANIFEST}; {again}")
    return manifest


def read(folder: Path) -> Artifact:
    """Read an artifact and check it.

    Raises:
        AssayError: a file is missing or damaged.
    """
    manifest = verified(folder)
    weights: dict[str, dict[str, Tensor]] = {variant: {} for variant in manifest.variants}
    for key, tensor in load_file(folder / WEIGHTS).items():
        variant, _, name = key.partition("/")
        weights.setdefault(variant, {})[name] = tensor
    return Artifact(manifest=manifest, weights=weights)


def check(artifact: Artifact, where: str) -> None:
    """Compare shapes with the manifest.

    Raises:
        AssayError: weights are missing, belong to no variant or sweep, or do not begin with (seeds, members).
    """
    manifest, weights = artifact.manifest, artifact.weights
    variants, seeds = manifest.variants, len(manifest.seeds)
    known = {*variants, *(f"{name}{MASKS}" for name in variants)}
    known |= {f"{sweep}{suffix}" for sweep in manifest.sweeps for suffix in (POINTS, BUFFERS)}
    for name in sorted(weights.keys() - known):
        raise AssayError(f"{where}: {name}: its variant is not in the manifest ({', '.join(variants)})")
    counts = [(name, variant.members, "members") for name, variant in variants.items()]
    for name in variants:
        state = weights.get(name)
        if not state:
            raise AssayError(f"{where}: the variant {name!r} of the manifest has no weights")
        for key, mask in weights.get(f"{name}{MASKS}", {}).items():
            shape = tuple(state[key].shape) if key in state else "no such parameter"
            if tuple(mask.shape) != shape:
                raise AssayError(f"{where}: {name}{MASKS}/{key} has shape {tuple(mask.shape)}; the model has {shape}")
    for name, sweep in manifest.sweeps.items():
        factors = {len(row) for row in sweep.coefficients}
        if not weights.get(sweep.tensors) or len(factors) != 1 or len(sweep.coefficients) != len(sweep.at):
            raise AssayError(f"{where}: the sweep {name!r} of the manifest lacks networks, or a row of factors a point")
        counts.append((sweep.tensors, factors.pop(), f"factors of {name!r}"))
        counts.append((f"{name}{BUFFERS}", len(sweep.at), "points"))
    for group, count, what in counts:
        for key, tensor in weights.get(group, {}).items():
            if tuple(tensor.shape[:2]) != (seeds, count):
                found, expected = tuple(tensor.shape), f"({seeds} seeds, {count} {what}, ...)"
                raise AssayError(f"{where}: {group}/{key} has shape {found}; the manifest says {expected}")


def state_dict(artifact: Artifact, variant: str, seed: int, member: int = 0) -> dict[str, Tensor]:
    """The weights of one network, ready for `load_state_dict` of the plain module; `seed` is an index, 0 to S-1."""
    return {name: tensor[seed, member] for name, tensor in artifact.weights[variant].items()}


def mixed(artifact: Artifact, sweep: str, coefficients: Sequence[float]) -> dict[str, Tensor]:
    """The parameters `(S, *shape)` of the networks that these factors make of what a sweep combines.

    `coefficients` need not be those of one of its points. The buffers are no linear function of them, and are left out.
    """
    combined = artifact.weights[artifact.manifest.sweeps[sweep].tensors]
    buffers = artifact.weights.get(f"{sweep}{BUFFERS}", {})
    mix = {name: tensor for name, tensor in combined.items() if name not in buffers}
    return {name: torch.einsum("m,sm...->s...", t.new_tensor(coefficients), t) for name, t in mix.items()}


def point(artifact: Artifact, sweep: str, index: int) -> dict[str, Tensor]:
    """Parameters and buffers `(S, *shape)` at a point of a sweep, `index` being its place in the sweep's lists."""
    parameters = mixed(artifact, sweep, artifact.manifest.sweeps[sweep].coefficients[index])
    buffers = artifact.weights.get(f"{sweep}{BUFFERS}", {})
    return parameters | {name: tensor[:, index] for name, tensor in buffers.items()}


def combine(logits: Float[Tensor, "*copy member example class"], how: Combine) -> Float[Tensor, "*copy example class"]:
    """Probabilities of an ensemble, from the logits of every member.

    `mean_probability` averages what they say (Lakshminarayanan et al., arXiv 1612.01474), `mean_logit` before the
    softmax, as Wortsman et al. (arXiv 2102.10472) evaluate subspaces; `majority_vote` gives shares of their votes.
    """
    if how == "mean_probability":
        return logits.softmax(-1).mean(-3)
    if how == "mean_logit":
        return logits.mean(-3).softmax(-1)
    return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype).mean(-3)
