"""The layers of R copies at once: `DenseLayers` with gradients written out, `FoldedLayers` under autograd.

*Dense*: a prefix without parameters, then linear layers and ReLUs: a step is its matrix products and little else.
*Folded*: R copies on B examples each are the same network on R·B examples, as long as the layers with parameters (and
batch norm's statistics) know which rows belong to which copy. Everything between them runs once, on all rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from jaxtyping import Float

    Weights = dict[str, Tensor]

FOLDABLE = (nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)
relu_backward = torch.ops.aten.threshold_backward.grad_input


def split_prefix(network: nn.Module) -> tuple[nn.Sequential, list[tuple[str, nn.Module]]] | None:
    """The prefix and the named layers after it, if `network` is of this kind; else None."""
    if not isinstance(network, nn.Sequential):
        return None
    layers = list(network.named_children())
    first = next((i for i, (_, layer) in enumerate(layers) if layer.state_dict()), len(layers))
    rest = layers[first:]
    kinds = [nn.Linear, nn.ReLU] * (len(rest) // 2) + [nn.Linear]
    if [type(layer) for _, layer in rest] != kinds or any(layer.bias is None for _, layer in rest[::2]):
        return None
    return nn.Sequential(*(layer for _, layer in layers[:first])), rest


def room(last: Weights, weights: Weights) -> Weights:
    """Tensors for the gradients of these weights: those of the last pass, or new ones where they do not fit."""
    if all(name in last and last[name].shape == own.shape for name, own in weights.items()):
        return last
    return {name: torch.empty_like(own) for name, own in weights.items()}


class DenseLayers:
    """The layers after the prefix, all copies at once; a network of another kind raises a `ValueError`."""

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
        """What each linear layer sees of normalised images, and at the end the logits."""
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
        """From what `forward` gave and the gradient for the logits, that for each parameter, in tensors of its own."""
        found = self._found = room(self._found, weights)
        for place, name in reversed(list(enumerate(self._names))):
            torch.bmm(gradient.mT, rows[place], out=found[f"{name}.weight"])
            torch.sum(gradient, 1, out=found[f"{name}.bias"])
            if place:
                gradient = torch.bmm(gradient, weights[f"{name}.weight"])
                relu_backward(gradient, rows[place], 0, grad_input=gradient)
        return dict(found)  # whoever it is given to may take tensors out, as L-BFGS does


def can_fold(network: nn.Module) -> bool:
    """Whether each layer of `network` that owns parameters or buffers is one that `FoldedLayers` knows."""
    owners = (m for m in network.modules() if [*m.parameters(recurse=False), *m.buffers(recurse=False)])
    return all(type(module) in FOLDABLE for module in owners)  # a subclass may do more, as timm's do


def frozen_norms(network: nn.Module, frozen: Collection[str]) -> list[tuple[str, _BatchNorm]]:
    """The batch norms, by name, of a network of whose parameters some are frozen, that have no other parameters."""
    norms = [(path, module) for path, module in network.named_modules() if isinstance(module, _BatchNorm)]
    return [
        (path, norm)
        for path, norm in norms
        if frozen and all(f"{path}.{name}" in frozen for name, one in norm._parameters.items() if one is not None)
    ]


class FoldedLayers(TorchFunctionMode):
    """While active, layers take parameters of shape (copy, *shape) and inputs of shape (copy · batch, ...)."""

    def __init__(self, copies: int) -> None:
        super().__init__()
        self.copies = copies

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Send the three layers with parameters to their stacked forms; let every other function pass."""
        layer = _LAYERS.get(func)
        return layer(self.copies, *args, **(kwargs or {})) if layer else func(*args, **(kwargs or {}))


class _StackedLinear(torch.autograd.Function):
    """One batched product for all copies; PyTorch's own gives transposed gradients, which fused optimizers copy."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Float[Tensor, "copy row output"]:
        ctx.save_for_backward(inputs, weight)
        if bias is None:
            return torch.bmm(inputs, weight.mT)
        return torch.baddbmm(bias.unsqueeze(1), inputs, weight.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        inputs, weight = ctx.saved_tensors
        wants_inputs, wants_weight, wants_bias = ctx.needs_input_grad
        return (
            torch.bmm(gradient, weight) if wants_inputs else None,
            torch.bmm(gradient.mT, inputs) if wants_weight else None,
            gradient.sum(1) if wants_bias else None,
        )


def _linear(copies: int, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if torch.is_autocast_enabled(inputs.device.type):  # a custom function is not cast for us
        dtype = torch.get_autocast_dtype(inputs.device.type)
        inputs, weight, bias = inputs.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    rows = inputs.reshape(copies, -1, inputs.shape[-1])
    outputs: Tensor = _StackedLinear.apply(rows, weight, bias)
    return outputs.reshape(*inputs.shape[:-1], -1)


def _conv2d(
    copies: int, inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *settings: Any, **named: Any
) -> Tensor:
    """Copy by copy: one grouped convolution for all takes a CPU longer, and a GPU up to twice as long."""
    biases = [None] * copies if bias is None else bias.unbind()
    slices = zip(inputs.unflatten(0, (copies, -1)).unbind(), weight.unbind(), biases, strict=True)
    return torch.cat([F.conv2d(x, w, b, *settings, **named) for x, w, b in slices])


def _batch_norm(copies: int, inputs: Tensor, *own: Any, **named: Any) -> Tensor:
    """Statistics of each copy's own rows: copy by copy where channels are last, which turns nothing over and back.

    Else the copies' channels stand side by side, so that they are channels of one norm.
    """
    if inputs.dim() == 4 and not inputs.is_contiguous():
        rows = inputs.unflatten(0, (copies, -1)).unbind()

        def of(given: Any, copy: int) -> Any:
            return given[copy] if isinstance(given, Tensor) else given

        return torch.cat(
            [
                F.batch_norm(x, *(of(one, copy) for one in own), **{name: of(one, copy) for name, one in named.items()})
                for copy, x in enumerate(rows)
            ]
        )

    def flat(given: Any) -> Any:  # views, so that running statistics are updated in place
        return given.flatten(0, 1) if isinstance(given, Tensor) else given

    side_by_side = inputs.unflatten(0, (copies, -1)).transpose(0, 1).flatten(1, 2)  # (batch, copy · channel, ...)
    outputs = F.batch_norm(side_by_side, *map(flat, own), **{name: flat(given) for name, given in named.items()})
    by_copy: Tensor = outputs.unflatten(1, (copies, -1))
    return by_copy.transpose(0, 1).flatten(0, 1)


_LAYERS: dict[Any, Callable[..., Tensor]] = {F.linear: _linear, F.conv2d: _conv2d, F.batch_norm: _batch_norm}
