"""The networks, one file for each family, and here the pieces that they share.

A file of this folder names its networks in `MODELS`, a literal, each with where it was published; a network is the
function of that name. `docs/adding-a-model.md` says what else it may hold. A file imports no other file of the folder,
so that a training depends on this one and on its own network's.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from assay.core import files
from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor

Width = Annotated[int, Field(ge=1, le=65_536)]
# mean or deviation of pixels from 0 to 1: one number for all channels, or one for each
Moments = Annotated[list[float], Field(min_length=1)]
WEIGHTS = Path("weights")  # the folder of weights' files; `register` depends on it
SHOWN = 3  # names in a message


def chain(layers: dict[str, nn.Module]) -> nn.Sequential:
    """The layers one after the other; a layer's name in the dict begins the names of its parameters."""
    return nn.Sequential(OrderedDict(layers))


def dense(inputs: int, widths: Sequence[int], classes: int) -> dict[str, nn.Module]:
    """Fully connected layers with a ReLU after each but the last: `hidden_1`, `hidden_2`, ..., `output`."""
    layers: dict[str, nn.Module] = {}
    for number, (before, after) in enumerate(pairwise([inputs, *widths]), start=1):
        layers[f"hidden_{number}"] = nn.Linear(before, after)
        layers[f"relu_{number}"] = nn.ReLU()
    return {**layers, "output": nn.Linear([inputs, *widths][-1], classes)}


def initialise(network: nn.Module, draw: Callable[[Tensor], Any]) -> nn.Module:
    """Let `draw` fill every weight in place, in the order of the modules, and set every bias to zero.

    Batch norm stays as PyTorch makes it: scale 1, shift 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


glorot = nn.init.xavier_normal_  # Gaussian of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)
# Gaussian of variance 2 / fan_in, made for ReLU (He et al. 2015, arXiv 1502.01852)
he = partial(nn.init.kaiming_normal_, mode="fan_in", nonlinearity="relu")


@dataclass(frozen=True)
class Source:
    """Pretrained weights, as `pretrained` gives them to a network, which keeps this as its attribute `pretrained`.

    Attributes:
        sha256: of the file, or of the tensors that a library fetched.
        mean, std: per channel, what the images were normalised with; on the scale of the pixels, 0 to 255.
        state: the tensors, by the names of `state_dict`.
    """

    sha256: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    state: Mapping[str, Tensor]


def check_pretrained(is_pretrained: bool, weights: str | None, mean: Moments | None, std: Moments | None) -> None:
    """Refuse, with an `AssayError`, two sources of weights, and a normalisation of weights where there are none."""
    if is_pretrained and weights:
        raise AssayError("weights: stands beside `pretrained: true`; remove one of the two")
    for key, own in (("mean", mean), ("std", std)):
        if own and not (is_pretrained or weights):
            raise AssayError(f"{key}: has no effect on a network from scratch, which has the data's own; remove it")


def weights_path(name: str, root: Path = Path()) -> Path:
    """The file of weights of this name, a path relative to the repository, which is at `root`.

    Raises:
        AssayError: it does not lie in the folder `weights`, is of an unknown format, or is not there.
    """
    path = Path(name)
    if ".." in path.parts or path.parts[:1] != WEIGHTS.parts:
        raise AssayError(f"weights: {name} is not in the folder {WEIGHTS}/, where DVC sees it change; move it there")
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise AssayError(f"weights: {name} is no .safetensors, .pt or .pth; save the network's state_dict as one")
    if not (root / path).is_file():
        raise AssayError(f"weights: {name}: not found; put the file there")
    return path


def read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file of weights, by name, and its SHA-256; it is read once a process.

    Of a `.pt` or `.pth`, tensors alone are read, so that no code runs; they may lie under `state_dict` or `model`.

    Raises:
        AssayError: the file is damaged, or holds something else than a state dict.
    """
    about = path.stat()
    state, digest = _read(path, about.st_mtime_ns, about.st_size)
    return dict(state), digest


@lru_cache(maxsize=2)
def _read(path: Path, *_: int) -> tuple[Mapping[str, Tensor], str]:
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, "cpu", weights_only=True)
            for key in ("state_dict", "model"):
                state = state.get(key, state) if isinstance(state, dict) else state
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        holds_more = isinstance(error, pickle.UnpicklingError)
        said = (
            "it holds more than tensors" if holds_more else (str(error) or type(error).__name__).splitlines()[0][:150]
        )
        raise AssayError(f"weights: {path}: cannot be read ({said}); save the network's state_dict anew") from None
    if not isinstance(state, dict) or not state or not all(isinstance(one, torch.Tensor) for one in state.values()):
        raise AssayError(f"weights: {path}: holds no state dict, tensors by name; save `network.state_dict()`")
    return state, files.file_digest(path)


def pretrained(network: nn.Module, source: Source, channels: int) -> nn.Module:
    """Give a network the weights of a source; the head stays fresh where the source's is of other classes, or missing.

    Mean and deviation are averaged over channels where the images have another number of them.

    Raises:
        AssayError: a tensor of the rest is missing, unexpected, or of another shape.
    """
    own, outer = network.state_dict(), head(network)
    state = {n: t for n, t in source.state.items() if n not in outer or t.shape == own[n].shape}
    try:
        network.load_state_dict({**{name: own[name] for name in outer}, **state})
    except RuntimeError as error:
        raise AssayError(f"weights: {reason(error)}") from None
    mean, std = (
        one if len(one) == channels else (sum(one) / len(one),) * channels for one in (source.mean, source.std)
    )
    network.pretrained = replace(source, mean=mean, std=std, state=state)  # type: ignore[assignment]
    return network


def source_of(network: nn.Module) -> Source | None:
    """The pretrained weights that a network starts from; None where they are fresh."""
    found: Any = getattr(network, "pretrained", None)
    return found if isinstance(found, Source) else None


def reason(error: RuntimeError) -> str:
    """What PyTorch's `load_state_dict` found wrong, in one line with the first few names of each kind."""
    kinds: dict[str, list[str]] = {"lacks": [], "unexpectedly holds": [], "has another shape of": []}
    for line in str(error).splitlines():
        if "Missing key" in line:
            kinds["lacks"] += re.findall('"([^"]+)"', line)
        elif "Unexpected key" in line:
            kinds["unexpectedly holds"] += re.findall('"([^"]+)"', line)
        elif found := re.search("size mismatch for ([^:]+):", line):
            kinds["has another shape of"].append(found[1])
    said = [
        f"{kind} {', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"
        for kind, names in kinds.items()
        if names
    ]
    return f"not of this network: the file {'; '.join(said)}" if said else " ".join(str(error).split())[:200]


def head(network: nn.Module) -> frozenset[str]:
    """The names of the parameters of the output layer: timm's `get_classifier`, else the last linear layer."""
    if callable(find := getattr(network, "get_classifier", None)):
        found = find()
        outer: Iterable[nn.Module] = found if isinstance(found, tuple | list | nn.ModuleList) else (found,)
    else:
        outer = [module for module in network.modules() if isinstance(module, nn.Linear)][-1:]
    own = {id(parameter) for module in outer for parameter in module.parameters()}
    return frozenset(name for name, parameter in network.named_parameters() if id(parameter) in own)


def moments(
    channels: int, found: tuple[Sequence[float], Sequence[float]], mean: Moments | None, std: Moments | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of pixels from 0 to 255: those given, of pixels from 0 to 1, else those found.

    Raises:
        AssayError: there are more or fewer numbers than one, or than the channels.
    """
    for key, own in (("mean", mean), ("std", std)):
        if own and len(own) not in (1, channels):
            raise AssayError(f"{key}: got {len(own)} numbers; the images have {channels} channels: give as many, or 1")
    if std and min(std) <= 0:
        raise AssayError(f"std: got {min(std)}; it must be above 0")
    return tuple(255 * value for value in mean or found[0]), tuple(255 * value for value in std or found[1])
