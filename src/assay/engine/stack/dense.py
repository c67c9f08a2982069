"""Networks that are a prefix without parameters, then linear layers and ReLUs: gradients of R copies, written out.

What remains of a step are the matrix products, the same as those of `folded` and in the same order, without autograd, a
module's call and a dispatch for each layer; `python -m benchmarks.ways` measures the difference.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64
    from torch import Tensor

    Weights = dict[str, Tensor]

relu_backward = torch.ops.aten.threshold_backward.grad_input


def split_prefix(network: nn.Module) -> tuple[nn.Sequential, list[tuple[str, nn.Module]]] | None:
    """The prefix and the named layers after it, if `network` is of this kind; else None."""
    if not isinstance(network, nn.Sequential):
        return None
    layers = list(network.named_children())
    first = next((i for i, (_, layer) in enumerate(layers) if layer.state_dict()), len(layers))
    rest = layers[first:]
    kinds = [nn.Linear if place % 2 == 0 else nn.ReLU for place in range(len(rest))]
    if len(rest) % 2 == 0 or not all(isinstance(x, kind) for (_, x), kind in zip(rest, kinds, strict=True)):
        return None
    if any(layer.bias is None for _, layer in rest[::2]):
        return None
    return nn.Sequential(*(layer for _, layer in layers[:first])), rest


class DenseLayers:
    """The layers after the prefix, all copies at once.

    Args:
        network: the plain module, of this kind; its own weights are never used.

    Raises:
        ValueError: it is of another kind.
    """

    def __init__(self, network: nn.Module) -> None:
        found = split_prefix(network)
        if found is None:
            raise ValueError("a prefix without parameters, then linear layers and ReLUs: this network is another")
        self._prefix, layers = found
        self._names = [name for name, layer in layers if isinstance(layer, nn.Linear)]
        self._found: Weights = {}

    def forward(
        self, weights: Weights, inputs: Float[Tensor, "copy batch c h w"]
    ) -> list[Float[Tensor, "copy batch unit"]]:
        """What each linear layer sees, and at the end the logits.

        Args:
            weights: parameters, `(copy, *shape)`.
            inputs: normalised images.
        """
        copies, batch = inputs.shape[:2]
        rows = [self._prefix(inputs.flatten(0, 1)).view(copies, batch, -1)]
        for name in self._names:
            if len(rows) > 1:
                rows[-1].relu_()
            rows.append(torch.baddbmm(weights[f"{name}.bias"].unsqueeze(1), rows[-1], weights[f"{name}.weight"].mT))
        return rows

    def backward(
        self,
        weights: Weights,
        rows: Sequence[Float[Tensor, "copy batch unit"]],
        gradient: Float[Tensor, "copy batch class"],
    ) -> Weights:
        """The gradient for each parameter, `(copy, *shape)`, laid out as the parameter is.

        They are the same tensors at every call, whose memory is then still in the processor's caches.

        Args:
            weights: as in `forward`.
            rows: what it gave.
            gradient: for the logits.
        """
        self._found = found = {name: self._like(name, tensor) for name, tensor in weights.items()}
        for place, name in reversed(list(enumerate(self._names))):
            torch.bmm(gradient.mT, rows[place], out=found[f"{name}.weight"])
            torch.sum(gradient, 1, out=found[f"{name}.bias"])
            if place:
                gradient = torch.bmm(gradient, weights[f"{name}.weight"])
                relu_backward(gradient, rows[place], 0, grad_input=gradient)
        return dict(found)  # whoever it is given to may take tensors out, as L-BFGS does

    def _like(self, name: str, parameter: Tensor) -> Tensor:
        found = self._found.get(name)
        return found if found is not None and found.shape == parameter.shape else torch.empty_like(parameter)


def cross_entropy(
    logits: Float[Tensor, "copy batch class"], labels: Int64[Tensor, "copy batch"]
) -> tuple[Float[Tensor, "copy batch"], Float[Tensor, "copy batch class"]]:
    """The cross-entropy of each example, in nats, and its gradient for the logits: softmax less the one-hot label."""
    log_probabilities, chosen = logits.log_softmax(-1), labels.unsqueeze(-1)
    one_hot = chosen == _classes(logits.shape[-1], logits.device)  # deterministic scatters sort on a GPU: half a step
    gradient = log_probabilities.exp().add_(one_hot, alpha=-1)
    return -log_probabilities.gather(-1, chosen).squeeze(-1), gradient


@cache
def _classes(count: int, device: torch.device) -> Int64[Tensor, " class"]:
    return torch.arange(count, device=device)
