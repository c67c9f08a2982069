"""Networks by name, each fitted to the channels, size and classes of the images; what to count and to prune in them.

`torch.manual_seed(s)` followed by `build(...)` gives weights that depend on `s` and on the call's arguments alone.
A network is a function in a file of `nets/`, which is imported when the network is asked for. A training depends on
the file of its own network: `digests` is what DVC compares.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from bisect import bisect_left
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import create_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from assay.core import files, plain
from assay.core.config import Section
from assay.core.config.parsing import parse, suggestion
from assay.core.errors import AssayError
from assay.core.plain import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from assay.core.config import Run
    from assay.data.sets.images import Images

Kind = Literal["conv", "linear", "output", "shortcut"]
NETS = Path(__file__).parent / "nets"
# `register` writes `digests` of all runs; a training has its arm's among its params, a round the baseline's
DIGESTS = "metrics/networks.json"
LARGEST_SIDE = 1024
_SHORTCUTS = {"shortcut", "downsample"}  # what this package and torchvision call a residual network's projections
_PREFIX = "params.yaml: model"


@cache
def literals(name: str) -> dict[str, dict[str, Any]]:
    """The literal mappings of this name (`MODELS`, `EXAMPLES`) in the files of `nets/`, by file; none is imported."""
    return {path.stem: found for path, found in plain.literals(NETS.glob("[!_]*.py"), name).items()}


def names() -> list[str]:
    """Every model there is, in the order of docs/models.md."""
    return [name for models in literals("MODELS").values() for name in models]


def source(name: str, prefix: str = _PREFIX) -> Path:
    """The file of a network; an `AssayError` names the key, under `prefix`, where there is no such model."""
    for stem, models in literals("MODELS").items():
        if name in models:
            return NETS / f"{stem}.py"
    raise AssayError(f"{prefix}.name: unknown model {name!r}; {suggestion(name, names())}")


def digests(runs: Iterable[Run]) -> dict[str, str]:
    """The SHA-256 of the file of each arm's network, by arm; errors as of `source`."""
    return {run.arm: files.file_digest(source(run.model.name, run.place("model"))) for run in runs}


def verify(arm: str, name: str, prefix: str = _PREFIX) -> None:
    """Refuse the file of an arm's network if it was edited after `register` took its digest, which DVC records.

    Without the file of digests, as outside DVC, nothing is checked.

    Raises:
        AssayError: as of `source`; the file was edited, or its digest is not there.
    """
    if not Path(DIGESTS).is_file():
        return
    advice, file = "`dvc repro register` writes it", source(name, prefix)
    try:
        digest = read_json(Path(DIGESTS), advice, advice)["networks"][arm]
    except (KeyError, TypeError):
        raise AssayError(f"{DIGESTS}: holds no digest of the network of {arm}; {advice}") from None
    if files.file_digest(file) != digest:
        raise AssayError(f"{file}: edited since the stage register ran; run `dvc repro` again")


def build(name: str, images: Images, prefix: str = "model", /, **arguments: Any) -> nn.Module:
    """A network with fresh weights, drawn from torch's global generator: (n, c, h, w) to logits (n, classes).

    `images` are what it is built for; whether they are large enough is for `check` to say. `prefix` is the key under
    which the model stands in its file, for messages.

    Raises:
        AssayError: there is no such model, or an argument is unknown, missing or of another type.
    """
    file = source(name, prefix)
    function = getattr(importlib.import_module(f"{__name__}.nets.{file.stem}"), name, None)
    if function is None:
        raise AssayError(f"src/assay/models/nets/{file.name}: MODELS names {name!r}, and there is no such function")
    fields: dict[str, Any] = {
        one.name: (one.annotation, ... if one.default is one.empty else one.default)
        for one in inspect.signature(function, eval_str=True).parameters.values()
        if one.kind is one.KEYWORD_ONLY
    }
    where, _, key = prefix.partition(": ")
    kind = create_model(name, __base__=Section, **fields)
    section = parse(kind, arguments, where, key and f"{key}.", also_allowed=["name"])
    try:
        return function(images, **dict(section))  # type: ignore[no-any-return]
    except AssayError as error:
        raise AssayError(f"{prefix}.{error}") from None


def blueprint(name: str, images: Images, arguments: dict[str, Any]) -> nn.Module:
    """A network to look at: its names, shapes and layers. The global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        return build(name, images, **arguments)


def check(name: str, images: Images, arguments: dict[str, Any], prefix: str = _PREFIX) -> None:
    """Build a model as `build` does and run it on two such images, before anything is trained.

    Not on the meta device, where PyTorch imports its compiler: a second in every stage.

    Raises:
        AssayError: as of `build`, or the images are too small for the network.
    """
    try:
        _run(name, images, arguments, prefix, "cpu")
    except RuntimeError as error:
        side = smallest_side(name, images, arguments, prefix)
        needs = f"needs sides of {side} pixels or more" if side else f"needs sides of more than {LARGEST_SIDE} pixels"
        if not side or side <= min(images.height, images.width):  # then it may be for a bug of the network
            needs = f"{'cannot run' if side else needs} ({str(error).splitlines()[0]})"
        shape = "×".join(map(str, images.shape))
        line = f"{name} {needs}, the images are {shape} (channels×height×width); choose another model"
        raise AssayError(f"{prefix}.name: {line}") from error


def smallest_side(name: str, images: Images, arguments: dict[str, Any], prefix: str = _PREFIX) -> int | None:
    """The side, in pixels, of the smallest square images that fit; None where even `LARGEST_SIDE` is too small.

    `images` gives the channels and classes; its height and width do not matter. Otherwise as `check`.
    """

    def fits(side: int) -> bool:
        try:
            _run(name, replace(images, height=side, width=side), arguments, prefix, "meta")
        except RuntimeError:
            return False
        return True

    # doubled first: most networks fit small images, and large ones take long to build
    enough = next(filter(fits, (2**power for power in range(LARGEST_SIDE.bit_length()))), None)
    return enough and enough // 2 + 1 + bisect_left(range(enough // 2 + 1, enough), True, key=fits)


def _run(name: str, images: Images, arguments: dict[str, Any], prefix: str, device: str) -> None:
    """Raises RuntimeError where a layer is left with nothing to work on; the meta device holds shapes and no data."""
    with torch.random.fork_rng(devices=[]), torch.device(device), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers without inputs, which the forward pass reports better
        build(name, images, prefix, **arguments).eval()(torch.zeros(2, *images.shape))


def parameter_count(network: nn.Module) -> int:
    """All trainable numbers: weights, biases, batch norm's scales and shifts; not its running statistics."""
    return sum(parameter.numel() for parameter in network.parameters())


def layers(network: nn.Module) -> list[str]:
    """The modules that own parameters, in their order."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name, _ in network.named_parameters()))


def weight_names(network: nn.Module) -> dict[str, Kind]:
    """The prunable tensors, by the names they have in `state_dict`, in the order of the modules, each with its kind.

    They are the weights of linear layers and convolutions, never a bias or a batch norm. `output` is the last linear
    layer, `shortcut` a projection that stands beside a residual block: the two that papers on pruning treat apart
    (Frankle and Carbin, arXiv 1803.03635, figure 2).
    """
    kinds: dict[str, Kind] = {}
    last = ""
    for name, module in network.named_modules():
        parts = name.split(".") if name else []
        weight = ".".join([*parts, "weight"])
        if isinstance(module, nn.Linear):
            kinds[weight], last = "linear", weight
        elif isinstance(module, nn.Conv2d):
            kinds[weight] = "conv" if _SHORTCUTS.isdisjoint(parts) else "shortcut"
    return {**kinds, last: "output"} if last else kinds


def operations(name: str, images: Images, arguments: dict[str, Any]) -> tuple[int, int]:
    """Floating-point operations for one image: of a forward pass, and of a forward and a backward pass.

    Matrix products and convolutions are counted, two operations a multiplication; element-wise work is not. The
    backward pass is a little less than twice the forward one, since no gradient is taken for the pixels.
    """
    network = blueprint(name, images, arguments).eval()  # batch norm has no statistics of a single image
    with _Counter() as counter:
        output = network(torch.zeros(1, *images.shape)).sum()
        forward = counter.total
        torch.autograd.grad(output, list(network.parameters()), allow_unused=True)
    return forward, counter.total


class _Counter(TorchDispatchMode):
    """PyTorch's own counts of the operations that pass; its `FlopCounterMode` takes a second to import the compiler."""

    total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip the compiler, PyTorch imports it

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        self.total += count(*args, **(kwargs or {}), out_val=result) if count else 0
        return result
