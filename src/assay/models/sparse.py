"""Networks with pruned weights as files that are really smaller, and as modules that skip the zeros.

In the file, a tensor with enough zeros is a bitmap, one bit a weight, and the values that are left, in order. At a
density of d that takes d + 1/32 of the dense float32 tensor, which for d under 1/5 is less than any format with an
index beside each value. It is safetensors: no code runs when it is read.
"""

from __future__ import annotations

import json
import warnings
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from assay.core import files
from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jaxtyping import Float

FORMAT = "assay-sparse-1"


def encoded(state: Mapping[str, Tensor]) -> bytes:
    """The bytes of the file; their number depends on shapes, types, names and on how many values are zero."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        whole = tensor.detach().cpu().contiguous()
        left = whole.flatten() != 0
        values = whole.flatten()[left]
        if left.numel() // 8 + values.nbytes < whole.nbytes:
            tensors[f"values/{name}"] = values
            tensors[f"bitmap/{name}"] = torch.from_numpy(np.packbits(left.numpy()))
        else:
            tensors[f"dense/{name}"] = whole
    shapes = json.dumps({name: list(tensor.shape) for name, tensor in state.items()})
    return save(tensors, metadata={FORMAT: shapes})  # one key alone: safetensors writes several in any order


def write(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write the state dict of one network, atomically; equal ones give equal bytes.

    What `read` gives back is equal bit for bit, but for the sign that a zero may bear.
    """
    with files.replacing(path) as temporary:
        temporary.write_bytes(encoded(state))


def read(path: Path) -> dict[str, Tensor]:
    """The dense state dict, ready for `load_state_dict` of the plain module.

    Raises:
        AssayError: the file is missing or damaged, or was not written by `write`.
    """
    state: dict[str, Tensor] = {}
    try:
        with safe_open(path, "pt") as stream:
            about = stream.metadata() or {}
            if FORMAT not in about:
                raise AssayError(f"{path}: not a sparse network: its metadata does not name the format {FORMAT}")
            keys = set(stream.keys())
            for name, shape in json.loads(about[FORMAT]).items():
                if f"dense/{name}" in keys:
                    state[name] = stream.get_tensor(f"dense/{name}")
                    continue
                values, bitmap = stream.get_tensor(f"values/{name}"), stream.get_tensor(f"bitmap/{name}")
                whole = values.new_zeros(prod(shape))
                whole[torch.from_numpy(np.unpackbits(bitmap.numpy(), count=prod(shape)).astype(bool))] = values
                state[name] = whole.reshape(shape)
    except FileNotFoundError:
        raise AssayError(f"{path}: not found; `assay export --sparse` writes such files") from None
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise AssayError(f"{path}: damaged ({error}); export it again") from None
    return state


def sparse_network(network: nn.Module) -> nn.Module:
    """Put a CSR product in the place of every linear layer; convolutions stay dense, as PyTorch has no sparse ones.

    The module is changed in place and gives the same logits but for the order of the sums.
    """
    for name, child in network.named_children():
        if isinstance(child, nn.Linear):
            setattr(network, name, SparseLinear(child))
        else:
            sparse_network(child)
    return network


class SparseLinear(nn.Module):
    """Stands in for a linear layer, with its weight as a CSR matrix: products with zeros are skipped."""

    weight: Tensor

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse")  # PyTorch says of CSR, once a process, that it is in beta
            self.register_buffer("weight", dense.weight.detach().to_sparse_csr())
        self.bias = dense.bias

    def forward(self, inputs: Float[Tensor, "example input"]) -> Float[Tensor, "example output"]:
        """`inputs @ weight.T + bias`."""
        if len(inputs) == 1:  # a product with a vector is up to ten times as fast as one with a single column
            outputs: Tensor = (self.weight @ inputs[0])[None]
        else:
            outputs = (self.weight @ inputs.mT).mT
        return outputs if self.bias is None else outputs + self.bias
