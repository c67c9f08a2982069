"""Lines, curves and simplexes of networks, learned in one run.

Wortsman, Horton, Guestrin, Farhadi, Rastegari, "Learning Neural Network Subspaces" (ICML 2021, arXiv 2102.10472). Each
step draws a point of the subspace, runs the network there, and moves every endpoint by its share of the gradient.
Endpoints are stacked: a tensor `(copy, endpoint, *shape)` for each parameter. A point is a row of coefficients.
"""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator

from assay import models
from assay.core.config import PARAMS_FILE, Section
from assay.core.errors import AssayError
from assay.core.runtime import generator, key
from assay.engine import batch_norm
from assay.engine.step_rule import GradientUpdate, Outcome, Parametrisation, Swept
from assay.models.artifact import POINTS, Cost, Sweep
from assay.models.nets import source_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jaxtyping import Float
    from torch import Tensor, nn

    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.engine.context import TrainContext
    from assay.engine.stack import Weights

Shape = Literal["line", "curve", "simplex"]
ALPHAS = tuple(step / 20 for step in range(21))
EXAMPLES_FOR_CURVES = 2048

PAPER = {"key": "wortsman2021", "topic": "Neural-network subspaces", "cited": "Wortsman et al. 2021, ICML"}
CONTRACT_ARMS: dict[str, dict[str, Any]] = {
    "line": {},
    "curve": {"options": {"shape": "curve"}},
    "simplex": {"options": {"shape": "simplex"}, "label_noise": 0.2},
    "line, layerwise": {"model": {"name": "mlp", "hidden": [8]}, "options": {"layerwise": True}},
    "line with batch norm": {"model": {"name": "vgg", "widths": [[4], [4]], "batch_norm": True}},
}
record_keys = ("squared_cosine", "distance")


class Options(Section):
    """What an arm of this method may set beside the shared budget.

    Attributes:
        shape: of the subspace.
        endpoints: m, the corners of a simplex, 3 unless given; a line has 2, a curve 3 with its bend.
        beta: β, how strongly endpoints are held apart.
        layerwise: whether each layer's point is drawn for itself, or one serves the whole network.
        pair: α of the variant `pair`, which combines the networks at α and 1 - α of a line or curve.
        combine: how the networks of an ensemble or pair become one prediction; `mean_logit` is the authors'.
        noise: on pretrained weights of all endpoints but the first, as a share of a tensor's deviation; default 0.05.
    """

    shape: Shape = "line"
    endpoints: int | None = Field(default=None, ge=2)
    beta: float = Field(default=1.0, ge=0)
    layerwise: bool = False
    pair: float = Field(default=0.2, ge=0, le=1)
    combine: Literal["mean_probability", "mean_logit"] = "mean_probability"
    noise: float | None = Field(default=None, ge=0, le=1)

    @field_validator("endpoints")
    @classmethod
    def _of_a_simplex(cls, value: int | None, info: ValidationInfo) -> int | None:
        shape = info.data.get("shape", "simplex")
        if value is not None and shape != "simplex":
            raise ValueError(f"only a simplex takes it, not a {shape}")
        return value

    @field_validator("pair")
    @classmethod
    def _of_two_networks(cls, value: float) -> float:
        if value == 0.5:
            raise ValueError("at 0.5 both networks of the pair are the midpoint; choose another")
        return value

    @property
    def count(self) -> int:
        """m, with a curve's bend."""
        return {"line": 2, "curve": 3, "simplex": self.endpoints or 3}[self.shape]

    @property
    def ends(self) -> int:
        """The endpoints that are points of the subspace: all but a curve's bend."""
        return 2 if self.shape == "curve" else self.count


def check(run: Run, options: Options, images: Images, examples: int) -> None:  # noqa: ARG001
    """Refuse, with an `AssayError`, layers drawn apart where there is one, idle noise, and endpoints that coincide."""
    network, problem = models.blueprint(run.model.name, images, run.model.arguments), None
    source, weights = source_of(network), {*models.weight_names(network)}
    if options.layerwise and len(models.layers(network)) < 2:
        problem = f"layerwise: {run.model.name} has one layer, for which it changes nothing; choose another model"
    elif options.noise is not None and source is None:
        problem = f"noise: is for pretrained weights, and {run.model.name} has none; leave it out"
    elif options.noise == 0 and source and source.state.keys() >= weights:
        problem = "noise: 0, and the head is pretrained too, so all endpoints coincide; raise it"
    elif options.noise and source and run.train.backbone_lr == 0 and not source.state.keys() >= weights:
        problem = "noise: the backbone, which all endpoints share, is frozen, and the head is fresh; leave it out"
    if problem:
        raise AssayError(f"{PARAMS_FILE}: arms.{run.arm}.{problem}")


def variants(options: Options) -> dict[str, int]:
    """The midpoint, the ensemble of the ends, and of a line or curve also a pair in between."""
    found = {"midpoint": 1, "ensemble": options.ends}
    return found if options.shape == "simplex" else {**found, "pair": 2}


def update(context: TrainContext, options: Options) -> GradientUpdate:
    """Gradient training of m networks a seed, drawn independently of each other, through points between them.

    The first endpoint starts where the baseline's network of the same seed does. With pretrained weights the others
    start near them, each with noise and a head of its own; what is frozen they share.
    """
    seeds = context.run.seeds
    network, first, buffers = context.fresh(seeds)
    others = [context.fresh([key(seed, "endpoint", n) for seed in seeds])[1] for n in range(1, options.count)]
    if source := source_of(network):
        share = 0.05 if options.noise is None else options.noise
        shared = [name for name in models.weight_names(network) if name in source.state and name not in context.frozen]
        for (n, parameters), name in product(enumerate(others, start=1), shared):
            for seed, own in zip(seeds, parameters[name], strict=True):
                drawn = torch.randn(own.shape, generator=generator(seed, f"endpoint noise {n}/{name}"))
                own.add_(drawn.to(own), alpha=share * own.std(correction=0).item())
    stored = {name: torch.stack([parameters[name] for parameters in (first, *others)], 1) for name in first}
    endpoints = Endpoints(options, network, buffers, context)
    return GradientUpdate(context, context.batches(), endpoints, start=(network, stored, buffers))


class Endpoints(Parametrisation):
    """Stored tensors are `(copy, endpoint, *shape)`; each step runs a point, and moves the endpoints that make it.

    The gradients are written out, since autograd would keep and copy more. Each copy's seed decides its points.
    """

    def __init__(self, options: Options, network: nn.Module, buffers: Weights, context: TrainContext) -> None:
        self._options, self._network, self._buffers, self._context = options, network, buffers, context
        self._layers = models.layers(network) if options.layerwise else [""]
        self._frozen = context.frozen
        self._weight_names = [name for name in models.weight_names(network) if name not in self._frozen]
        self._pairs = list(combinations(range(options.count), 2))
        self._step, self._drawn = -1, (torch.empty(0), torch.empty(0))

    def weights(self, stored: Weights, step: int) -> Weights:
        """Each copy's point of this step."""
        coefficients, _ = self._draw(step)
        return {name: mix(tensor, coefficients[:, self._layer(name)]) for name, tensor in stored.items()}

    def gradients(self, stored: Weights, weights: Weights, gradients: Weights, step: int) -> Weights:  # noqa: ARG002
        """The chain rule to the endpoints, and the gradient of what holds a pair of them apart."""
        coefficients, pairs = self._draw(step)
        carried = {name: spread(own, coefficients[:, self._layer(name)]) for name, own in gradients.items()}
        if self._options.beta:
            inner = products(stored[name] for name in self._weight_names)
            pull = cosine_gradient(inner, pairs, self._options.beta)
            for name in self._weight_names:
                carried[name].flatten(2).baddbmm_(pull, stored[name].flatten(2))
        return carried

    def evaluated(self, stored: Weights) -> Weights:
        """The midpoint; batch norm's statistics are from the first `EXAMPLES_FOR_CURVES`, to be had at every look."""
        return self._network_at(stored, self._points()["midpoint"][0], EXAMPLES_FOR_CURVES)

    def _points(self) -> dict[str, Float[Tensor, "member endpoint"]]:
        """The coefficients of each variant's members: the midpoint is at α = 1/2, or the centre of the simplex."""
        options, ends = self._options, torch.eye(self._options.count, dtype=torch.float64)[: self._options.ends]
        if options.shape == "simplex":
            return {"midpoint": torch.full_like(ends[:1], 1 / options.count), "ensemble": ends}
        return {"midpoint": self._at([0.5]), "ensemble": ends, "pair": self._at([options.pair, 1 - options.pair])}

    def variants(self, stored: Weights, buffers: Weights) -> dict[str, Outcome]:  # noqa: ARG002
        """`midpoint`, `ensemble` (of the endpoints, but for a curve's bend), and of a line or curve also `pair`."""
        found, examples = {}, batch_norm.examples_seen(self._network, self._context.data, self._frozen)
        for variant, rows in self._points().items():
            members = [self._network_at(stored, row) for row in rows]
            weights = {name: torch.stack([member[name] for member in members], 1) for name in members[0]}
            cost = Cost(forward_samples=len(members) * examples)
            found[variant] = Outcome(weights, self._options.combine, prior_cost=cost)
        return found

    def sweeps(self, stored: Weights, buffers: Weights) -> dict[str, Swept]:  # noqa: ARG002
        """The networks along a line or curve, named after it, at α = 0, 0.05, ..., 1.

        They make a figure, not a claim: batch norm's statistics are from the first `EXAMPLES_FOR_CURVES`, where 21
        passes over the training set would take longer than the training.
        """
        shape = self._options.shape
        if shape == "simplex":
            return {}
        rows, bent = self._at(ALPHAS), shape == "curve"
        networks = [self._network_at(stored, row, EXAMPLES_FOR_CURVES) for row in rows] if self._buffers else []
        found = {name: torch.stack([network[name] for network in networks], 1) for name in self._buffers}
        tensors, coefficients = f"{shape}{POINTS}" if bent else "ensemble", rows.tolist()
        combine = self._options.combine
        sweep = Sweep(axis="alpha", at=list(ALPHAS), tensors=tensors, coefficients=coefficients, combine=combine)
        return {shape: Swept(sweep, found, stored if bent else None)}

    def record(self, stored: Weights) -> dict[str, Any]:
        """For each seed, how far apart the endpoints are."""
        inner = products(stored[name].double() for name in self._weight_names)
        cosines, norms = squared_cosines(inner), inner.diagonal(dim1=1, dim2=2)
        distances = (norms.unsqueeze(2) + norms.unsqueeze(1) - 2 * inner).clamp_min(0).sqrt()
        i, j = zip(*self._pairs, strict=True)
        return {
            "squared_cosine": [round(value, 6) for value in cosines[:, i, j].mean(1).tolist()],
            "distance": [round(value, 4) for value in distances[:, i, j].mean(1).tolist()],
        }

    def _draw(self, step: int) -> tuple[Float[Tensor, "copy layer endpoint"], Float[Tensor, "copy endpoint endpoint"]]:
        """Each copy's points and pair of this step: functions of its seed and the step."""
        if step != self._step:
            count, seeds = self._options.count, self._context.run.seeds
            coefficients, pairs = [], torch.zeros(len(seeds), count, count)
            for copy, seed in enumerate(seeds):
                source = generator(seed, "subspace", step)
                coefficients.append(draw(self._options.shape, count, len(self._layers), source))
                i, j = self._pairs[int(torch.randint(len(self._pairs), (), generator=source))]
                pairs[copy, i, j] = pairs[copy, j, i] = 1
            device = self._context.device
            self._step, self._drawn = step, (torch.stack(coefficients).float().to(device), pairs.to(device))
        return self._drawn

    def _layer(self, name: str) -> int:
        return self._layers.index(name.rpartition(".")[0]) if self._options.layerwise else 0

    def _at(self, alphas: Sequence[float]) -> Float[Tensor, "point endpoint"]:
        return along(self._options.shape, torch.tensor(alphas, dtype=torch.float64))

    def _network_at(
        self, stored: Weights, coefficients: Float[Tensor, " endpoint"], examples: int | None = None
    ) -> Weights:
        """Parameters and buffers `(copy, *shape)` at one point, the same for all layers and copies."""
        first = next(iter(stored.values()))
        rows = coefficients.to(first).expand(len(first), -1)
        parameters = {name: mix(tensor, rows) for name, tensor in stored.items()}
        train = self._context.run.train
        settings = (self._context.data, train.batch_size, train.precision, examples, self._frozen)
        return parameters | batch_norm.recomputed(self._network, parameters, self._buffers, *settings)


def along(shape: Shape, alpha: Float[Tensor, "*point"]) -> Float[Tensor, "*point endpoint"]:
    """Coefficients at α: 1 - α and α on a line (section 3.1); (1 - α)², α² and, for the bend, 2α(1 - α) on a curve."""
    if shape == "line":
        return torch.stack([1 - alpha, alpha], -1)
    return torch.stack([(1 - alpha) ** 2, alpha**2, 2 * alpha * (1 - alpha)], -1)


def draw(shape: Shape, endpoints: int, layers: int, source: torch.Generator) -> Float[Tensor, "layer endpoint"]:
    """So many points: α uniform on [0, 1), or uniform on the simplex of m endpoints, which is Dirichlet(1); float64."""
    if shape == "simplex":
        weights = torch.empty(layers, endpoints, dtype=torch.float64).exponential_(generator=source)
        return weights / weights.sum(-1, keepdim=True)
    return along(shape, torch.rand(layers, dtype=torch.float64, generator=source))


def mix(
    endpoints: Float[Tensor, "copy endpoint ..."], coefficients: Float[Tensor, "copy endpoint"]
) -> Float[Tensor, "copy ..."]:
    """The point that each copy's coefficients name: one matrix product, which reads each endpoint once."""
    copies, count, *shape = endpoints.shape
    return torch.bmm(coefficients.unsqueeze(1), endpoints.reshape(copies, count, -1)).view(copies, *shape)


def spread(
    gradient: Float[Tensor, "copy ..."], coefficients: Float[Tensor, "copy endpoint"]
) -> Float[Tensor, "copy endpoint ..."]:
    """The gradient at a point carried to its endpoints: each has its own coefficient's share, by the chain rule."""
    return coefficients.view(*coefficients.shape, *[1] * (gradient.dim() - 1)) * gradient.unsqueeze(1)


def products(endpoints: Iterable[Float[Tensor, "copy endpoint ..."]]) -> Float[Tensor, "copy endpoint endpoint"]:
    """The inner products ⟨ω_i, ω_j⟩ of endpoints, over all given tensors as one vector."""
    flat = (tensor.reshape(*tensor.shape[:2], -1) for tensor in endpoints)
    return torch.stack([torch.bmm(rows, rows.mT) for rows in flat]).sum(0)


def squared_cosines(inner: Float[Tensor, "copy endpoint endpoint"]) -> Float[Tensor, "copy endpoint endpoint"]:
    """cos²(ω_i, ω_j) from inner products: 1 for endpoints that coincide, whatever their lengths."""
    norms = inner.diagonal(dim1=1, dim2=2)
    return inner.square() / (norms.unsqueeze(2) * norms.unsqueeze(1))


def cosine_gradient(
    inner: Float[Tensor, "copy endpoint endpoint"], pairs: Float[Tensor, "copy endpoint endpoint"], beta: float
) -> Float[Tensor, "copy endpoint endpoint"]:
    """The gradient of β cos²(ω_i, ω_j) (equation 3) as a matrix: times the endpoints, it is the gradient for each.

    That for ω_i is 2β q ω_j - 2β q ⟨ω_i, ω_j⟩ / ‖ω_i‖² ω_i, q = ⟨ω_i, ω_j⟩ / (‖ω_i‖² ‖ω_j‖²). `pairs` is 1 at (i, j)
    and (j, i) for the pair that a copy holds apart, else 0.
    """
    norms = inner.diagonal(dim1=1, dim2=2)
    q = pairs * inner / (norms.unsqueeze(2) * norms.unsqueeze(1))
    return 2 * beta * (q - torch.diag_embed((q * inner).sum(2) / norms))
