"""Mixup and CutMix: each example of a batch is mixed with another one, and their labels are in the same shares.

Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization" (ICLR 2018, arXiv 1710.09412), section 2:
pixels and labels are λ times the one and 1 - λ times the other. Yun, Han, Oh, Chun, Choe, Yoo, "CutMix" (ICCV 2019,
arXiv 1905.04899), section 3.1: a box of the other image, with the share 1 - λ of the area, is pasted into the one; what
lies beyond the image is cut off, and λ is corrected to the share that is left. λ is drawn from Beta(alpha, alpha), once
a batch, as in the authors' codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from assay.core.config import Section
from assay.core.errors import AssayError
from assay.core.runtime import global_generator
from assay.engine.step_rule import GradientUpdate

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from torch import Tensor

    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.engine.context import TrainContext

PAPER = {"key": "zhang2018", "topic": "Mixed examples", "cited": "Zhang et al. 2018, ICLR"}
CONTRACT_ARMS = {
    "mixup": {"options": {"kind": "mixup", "alpha": 0.5}},
    "cutmix": {"options": {"kind": "cutmix"}},
}


class Options(Section):
    """What an arm of this method may set beside the shared budget.

    Attributes:
        kind: `mixup` mixes pixels; `cutmix` pastes a box.
        alpha: of the distribution Beta(alpha, alpha) of λ; 1 is uniform, and the lower, the more batches are hardly
            mixed. Far below 0.01 PyTorch's samples are of another distribution: in float32 its gammas underflow, and a
            quarter of them are 1/2.
    """

    kind: Literal["mixup", "cutmix"]
    alpha: float = Field(default=1.0, ge=0.01)


def check(run: Run, options: Options, images: Images, examples: int) -> None:  # noqa: ARG001
    """Refuse batches of one example, which has no other to be mixed with, with an `AssayError`."""
    if run.train.batch_size < 2:
        raise AssayError(f"{run.place('batch_size')}: of one example, {run.arm} mixes none; set it to 2 or more")


def update(context: TrainContext, options: Options) -> GradientUpdate:
    """Gradient training on plain epochs, with mixed batches."""
    return Mixing(context, options)


class Mixing(GradientUpdate):
    """Mixes each copy's batch by itself, after augmentation and normalisation.

    The mixing is Torchvision's (`v2.MixUp`, `v2.CutMix`): the partner of an example is the one before it in the batch,
    which an epoch's permutation makes a random one.
    """

    def __init__(self, context: TrainContext, options: Options) -> None:
        from torchvision.transforms import v2  # takes a second or more; other methods do without

        super().__init__(context, context.batches())
        kind = {"mixup": v2.MixUp, "cutmix": v2.CutMix}[options.kind]
        self.mix = kind(alpha=options.alpha, num_classes=context.data.images.classes)

    def inputs_and_labels(
        self, indices: Int64[Tensor, "copy batch"], step: int
    ) -> tuple[Float[Tensor, "copy batch c h w"], Float[Tensor, "copy batch class"]]:
        """Mixed images, and the shares of the classes in them."""
        batches = []
        for seed, inputs, labels in zip(self.seeds, *super().inputs_and_labels(indices, step), strict=True):
            with global_generator(seed, "mixing", step):
                batches.append(self.mix(inputs, labels))
        images, shares = zip(*batches, strict=True)
        return torch.stack(images), torch.stack(shares)
