"""Floating-point operations of a network, as PyTorch's own counter sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from assay.models.registry import blueprint

if TYPE_CHECKING:
    from assay.data.images import Images


def operations(name: str, images: Images, arguments: dict[str, Any]) -> tuple[int, int]:
    """Operations for one image: of a forward pass, and of a forward and a backward pass.

    Matrix products and convolutions are counted, two operations a multiplication; element-wise work is not. The
    backward pass is a little less than twice the forward one, since no gradient is taken for the pixels. Only shapes
    are run, on the meta device. The first call of a process imports PyTorch's compiler, which an optimizer does too.

    Args:
        name: of the model.
        images: what it is given.
        arguments: what the family takes.
    """
    network = blueprint(name, images, arguments).eval()  # batch norm has no statistics of a single image
    with FlopCounterMode(display=False) as counter:
        output = network(torch.empty(1, *images.shape, device="meta")).sum()
        forward = counter.get_total_flops()
        torch.autograd.grad(output, list(network.parameters()), allow_unused=True)
    return forward, counter.get_total_flops()
