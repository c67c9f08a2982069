"""The networks of one seed of a variant as one module, from raw pixels to probabilities, and that module as ONNX."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from assay.core import files
from assay.core.errors import AssayError
from assay.models import artifact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float, Shaped

    from assay.data.sets.images import Images
    from assay.models.artifact import Artifact, Combine, HasMoments

INPUT, OUTPUT = "images", "probabilities"  # what ONNX calls them
TOLERANCE = 1e-4  # of probabilities, between PyTorch and ONNX Runtime


class NoOnnxError(AssayError):
    """A network has no ONNX that computes what it does; where ONNX is an extra, the rest goes on."""


class Predictor(nn.Module):
    """Raw images in, probabilities out.

    Once exported it needs nothing of this package. The members are M networks, from normalised images to logits; mean
    and std are per channel, on the scale of the pixels, 0 to 255.
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
        return artifact.combine(logits.double(), self.combine_as).float()  # in double precision, as evaluation does it


def of_variant(trained: Artifact, variant: str, seed: int, data: HasMoments) -> Predictor:
    """The predictor of a variant, in evaluation mode on the CPU.

    `seed` is an index, 0 to S - 1; `data` has the mean and standard deviation of the images that it was trained on.
    """
    record = trained.manifest.variants[variant]
    states = [artifact.state_dict(trained, variant, seed, member) for member in range(record.members)]
    return of_states(trained, states, record.combine, data)


def of_states(
    trained: Artifact, states: Sequence[dict[str, Tensor]], combine_as: Combine, data: HasMoments
) -> Predictor:
    """The predictor of networks with these weights; otherwise as `of_variant`."""
    members = [trained.manifest.network() for _ in states]
    for member, state in zip(members, states, strict=True):
        member.load_state_dict(state)
    network = Predictor(members, combine_as, *trained.manifest.moments(data)).eval()
    return network.requires_grad_(requires_grad=False)


def write_onnx(network: Predictor, images: Images, path: Path) -> None:
    """Write a predictor as ONNX: uint8 `images` `(n, c, h, w)` to float32 `probabilities` `(n, class)`, any n.

    Raises:
        NoOnnxError: PyTorch cannot export the network, ONNX Runtime cannot run what it wrote, or the probabilities
            differ by more than `TOLERANCE`.
    """
    import onnxruntime

    noise = np.random.default_rng(0).integers(0, 256, (3, *images.shape), dtype=np.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with files.replacing(path) as temporary, warnings.catch_warnings(action="ignore"):  # of PyTorch's own exporter
        try:
            program = torch.onnx.export(
                network,
                (torch.from_numpy(noise),),
                dynamo=True,
                verbose=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={INPUT: {0: torch.export.Dim("n")}},
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise NoOnnxError(
                f"{path}: PyTorch cannot export this network to ONNX: {str(error).splitlines()[0]}"
            ) from error
        if program is None:
            raise ValueError("without a program there is nothing to save")
        program.save(temporary, external_data=False)
        try:
            session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
            answers = [(batch, session.run([OUTPUT], {INPUT: batch})[0]) for batch in (noise, noise[:1])]
        except Exception as error:  # its errors have no base of their own
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise NoOnnxError(f"{path}: not written: ONNX Runtime cannot run this network: {said}") from error
        for batch, found in answers:
            largest = float(np.abs(found - network(torch.from_numpy(batch)).numpy()).max())
            if not largest <= TOLERANCE:
                said = f"differ from PyTorch's by up to {largest:.2g}, more than {TOLERANCE}"
                raise NoOnnxError(f"{path}: not written: the probabilities of ONNX Runtime {said}")
