"""Floating-point operations of a network, as PyTorch's own counter sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from torch import nn

    from assay.data.images import Images


def per_sample(network: nn.Module, images: Images) -> tuple[int, int]:
    """Operations for one image: of a forward pass, and of a forward and a backward pass.

    Matrix products and convolutions are counted, two operations a multiplication; element-wise work is not. The
    backward pass is a little less than twice the forward one, since no gradient is taken for the pixels.

    Args:
        network: the plain module; its weights and gradients are left alone.
        images: what it is given.
    """
    was_training = network.training
    network.eval()  # batch norm has no statistics of a single image
    weights = {name: weight.detach().requires_grad_() for name, weight in network.named_parameters()}
    image = torch.zeros(1, *images.shape, device=next(iter(weights.values())).device)
    with FlopCounterMode(display=False) as counter:
        output = functional_call(network, weights, (image,)).sum()
        forward = counter.get_total_flops()
        torch.autograd.grad(output, list(weights.values()), allow_unused=True)
    network.train(was_training)
    return forward, counter.get_total_flops()
