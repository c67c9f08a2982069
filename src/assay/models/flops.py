"""Floating-point operations of a network, as PyTorch's own counter sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from assay.models.registry import blueprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assay.data.sets.images import Images


class _Counter(TorchDispatchMode):
    """PyTorch's own counts of the operations that pass.

    Its `FlopCounterMode` also asks of each operation that has no count whether it is made of others, for which it
    imports the compiler: a second in every stage. `test_models_flops` holds the two against each other.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to skip the compiler, PyTorch imports it."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        self.total += count(*args, **(kwargs or {}), out_val=result) if count else 0
        return result


def operations(name: str, images: Images, arguments: dict[str, Any]) -> tuple[int, int]:
    """Operations for one image: of a forward pass, and of a forward and a backward pass.

    Matrix products and convolutions are counted, two operations a multiplication; element-wise work is not. The
    backward pass is a little less than twice the forward one, since no gradient is taken for the pixels.

    Args:
        name: of the model.
        images: what it is given.
        arguments: what the family takes.
    """
    network = blueprint(name, images, arguments).eval()  # batch norm has no statistics of a single image
    with _Counter() as counter:
        output = network(torch.zeros(1, *images.shape)).sum()
        forward = counter.total
        torch.autograd.grad(output, list(network.parameters()), allow_unused=True)
    return forward, counter.total
