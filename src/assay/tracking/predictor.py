"""One variant of an arm as one network that anybody can call: raw images in, probabilities out."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from assay.data.sets.images import Images
from assay.models import artifact, build
from assay.models.combine import combine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Shaped

    from assay.models.artifact import Artifact, Combine


class Predictor(nn.Module):
    """The members of a variant, the data's normalisation before them and their combination behind.

    It needs nothing of this package once it is exported.

    Args:
        members: M networks, from normalised images to logits.
        combine_as: how their predictions become one.
        mean: per channel, on the scale of the pixels, 0 to 255.
        std: likewise.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, members: Sequence[nn.Module], combine_as: Combine, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.combine_as: Combine = combine_as
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Shaped[Tensor, "example c h w"]) -> Float[Tensor, "example class"]:
        """Class probabilities of raw images, uint8 or float, with pixels from 0 to 255."""
        normalised = (images.float() - self.mean) / self.std
        logits = torch.stack([member(normalised) for member in self.members])
        return combine(logits.double(), self.combine_as).float()  # in double precision, as the evaluation combines


def predictor(trained: Artifact, variant: str, seed: int, mean: Sequence[float], std: Sequence[float]) -> Predictor:
    """The networks of one seed of a variant, in evaluation mode and on the CPU.

    Args:
        trained: an arm's networks.
        variant: one of its variants.
        seed: an index, 0 to S - 1.
        mean: per channel, on the scale of the pixels, 0 to 255.
        std: likewise.

    Raises:
        AssayError: there is no such model.
        RuntimeError: the weights do not fit the model.
    """
    manifest = trained.manifest
    record = manifest.variants[variant]
    network = build(manifest.model.name, Images(**manifest.images), **manifest.model.arguments)
    members = []
    for member in range(record.members):
        one = copy.deepcopy(network)
        one.load_state_dict(artifact.state_dict(trained, variant, seed, member))
        members.append(one)
    return Predictor(members, record.combine, mean, std).eval().requires_grad_(requires_grad=False)
