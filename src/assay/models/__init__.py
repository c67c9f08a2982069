"""Networks by name, each fitted to the channels, size and classes of the images; what to count and to prune in them.

`torch.manual_seed(s)` followed by `build(...)` gives weights that depend on `s` and on the call's arguments alone.
A network is a function in a file of `nets/`, which is imported when the network is asked for. A training depends on
the file of its own network, and on that of the weights that it starts from: `digests` is what DVC compares.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import create_model
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from assay.core import files, plain
from assay.core.config import Section
from assay.core.config.parsing import parse, suggestion
from assay.core.errors import AssayError
from assay.core.plain import read_json
from assay.models import nets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from assay.core.config import Model, Run
    from assay.data.sets.images import Images

Kind = Literal["conv", "linear", "output", "shortcut"]
NETS = Path(__file__).parent / "nets"
# `register` writes `digests` of all runs; a training has its arm's among its params, a round the baseline's
DIGESTS = "metrics/networks.json"
YOUR_OWN = "your own"  # in place of where a network was published
PRETRAINED = ("pretrained", "weights", "mean", "std")  # arguments that say what a network starts from
_SHORTCUTS = {"shortcut", "downsample"}  # what this package and torchvision call a residual network's projections
_STOCHASTIC = ("Drop", "StochasticDepth", "RReLU")
PREFIX = "params.yaml: model"


@cache
def literals(name: str) -> dict[str, dict[str, Any]]:
    """The literal mappings of this name (`MODELS`, `EXAMPLES`) in the files of `nets/`, by file; none is imported.

    A file without `MODELS` that has a function `build` is a network of the user's own, named as the file.
    """
    paths = sorted(NETS.glob("[!_]*.py"))
    found = plain.literals(paths, name)
    own = {path: {path.stem: YOUR_OWN} for path in paths if path not in found and name == "MODELS" and _builds(path)}
    return {path.stem: content for path, content in (found | own).items()}


def _builds(path: Path) -> bool:
    """Whether a file has a function `build`; it parses, since `plain.literals` has read it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "build" for node in tree.body)


def names() -> list[str]:
    """Every model there is, in the order of docs/models.md."""
    return [name for models in literals("MODELS").values() for name in models]


def source(name: str, prefix: str = PREFIX) -> Path:
    """The file of a network; an `AssayError` names the key, under `prefix`, where there is no such model."""
    for stem, models in literals("MODELS").items():
        if name in models:
            return NETS / f"{stem}.py"
    if name.isidentifier() and (NETS / f"{name}.py").is_file():
        file = f"src/assay/models/nets/{name}.py"
        raise AssayError(f"{prefix}.name: {file} has no function `build`; see docs/adding-a-model.md")
    raise AssayError(f"{prefix}.name: unknown model {name!r}; {suggestion(name, names())}")


def digest(model: Model, prefix: str = PREFIX, root: Path = Path()) -> str:
    """The SHA-256 of a network's file, and of its file of weights if it starts from one, which lies under `root`.

    Raises:
        AssayError: as of `source`; there is no such file of weights.
    """
    own, name = files.file_digest(source(model.name, prefix)), model.arguments.get("weights")
    if not isinstance(name, str):
        return own
    try:
        return files.content_digest([own, files.file_digest(root / nets.weights_path(name, root))])
    except AssayError as error:
        raise AssayError(f"{prefix}.{error}") from None


def digests(runs: Iterable[Run], root: Path = Path()) -> dict[str, str]:
    """The digest of each arm's network, by arm; arguments and errors as of `digest`."""
    return {run.arm: digest(run.model, run.place("model"), root) for run in runs}


def verify(arm: str, model: Model, prefix: str = PREFIX) -> None:
    """Refuse the files of an arm's network if one was edited after `register` took their digest, which DVC records.

    Without the file of digests, as outside DVC, nothing is checked.

    Raises:
        AssayError: as of `digest`; a file was edited, or the digest is not there.
    """
    if not Path(DIGESTS).is_file():
        return
    advice, own = "`dvc repro register` writes it", digest(model, prefix)
    try:
        registered = read_json(Path(DIGESTS), advice, advice)["networks"][arm]
    except (KeyError, TypeError):
        raise AssayError(f"{DIGESTS}: holds no digest of the network of {arm}; {advice}") from None
    if own != registered:
        named = [str(source(model.name, prefix)), *filter(None, [model.arguments.get("weights")])]
        raise AssayError(f"{' or '.join(named)}: edited since the stage register ran; run `dvc repro` again")


def build(name: str, images: Images, prefix: str = "model", /, **arguments: Any) -> nn.Module:
    """A network with its first weights, fresh ones drawn from torch's global generator: (n, c, h, w) to logits.

    `images` are what it is built for; whether they are large enough is for `fitting.check` to say. `prefix` is the key
    under which the model stands in its file, for messages.

    Raises:
        AssayError: there is no such model, an argument is unknown, missing or of another type, or weights do not fit.
    """
    file = source(name, prefix)
    shown = f"src/assay/models/nets/{file.name}"
    is_own = literals("MODELS")[file.stem] == {name: YOUR_OWN}
    try:
        module = importlib.import_module(f"{__name__}.nets.{file.stem}")
    except Exception as error:
        raise AssayError(f"{shown}: cannot be imported ({told(error)})") from error
    function = getattr(module, "build" if is_own else name, None)
    if function is None:
        raise AssayError(f"{shown}: MODELS names {name!r}, and there is no such function")
    _, *parameters = inspect.signature(function, eval_str=True).parameters.values()  # the first is the images
    fields: dict[str, Any] = {
        one.name: (
            Any if one.annotation is one.empty else one.annotation,
            ... if one.default is one.empty else one.default,
        )
        for one in parameters
        if one.kind is not one.VAR_KEYWORD
    }
    base = Section if len(fields) == len(parameters) else OpenSection
    where, _, key = prefix.partition(": ")
    kind = create_model(name, __base__=base, **fields)
    section = parse(kind, arguments, where, key and f"{key}.", also_allowed=["name"])
    try:
        network = function(images, **dict(section))
    except AssayError as error:
        raise AssayError(f"{prefix}.{error}") from None
    if not isinstance(network, nn.Module):
        raise AssayError(f"{shown}: gives {type(network).__name__}; it must give a torch.nn.Module")
    return network


class OpenSection(Section, extra="allow"):
    """The arguments of a function that takes any."""


def scratch(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the same network with fresh weights: to hold trained ones, or as a control."""
    return {key: value for key, value in arguments.items() if key not in PRETRAINED}


def blueprint(name: str, images: Images, arguments: dict[str, Any]) -> nn.Module:
    """A network to look at: its names, shapes and layers. The global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        return build(name, images, **arguments)


def told(error: Exception) -> str:
    """An error of code that is not ours in one line; PyTorch's own speak for themselves."""
    said = (str(error).splitlines() or [""])[0]
    return said if isinstance(error, RuntimeError) and said else f"{type(error).__name__}: {said}".rstrip(": ")


def draws_random_numbers(network: nn.Module) -> bool:
    """Whether a training pass through `network` is random: dropout, stochastic depth, at a rate that is not 0."""
    drawing = [m for m in network.modules() if any(name in type(m).__name__ for name in _STOCHASTIC)]
    rates = [[vars(module).get(name) for name in ("p", "drop_prob", "prob")] for module in drawing]
    # timm's networks may drop features by a function, at this rate
    return any(0 not in own for own in rates) or any(vars(m).get("drop_rate") for m in network.modules())


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
    backward pass is a little less than twice the forward one, since no gradient is taken for the pixels. No pretrained
    weights are read.
    """
    network = blueprint(name, images, scratch(arguments)).eval()  # batch norm has no statistics of a single image
    with _Counter() as counter, sdpa_kernel(SDPBackend.MATH):  # a CPU's fused attention has no count
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
