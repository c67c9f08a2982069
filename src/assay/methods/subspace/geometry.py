"""The mathematics of learned subspaces: points between endpoints, gradients back to them, and what holds them apart.

Wortsman, Horton, Guestrin, Farhadi, Rastegari, "Learning Neural Network Subspaces" (ICML 2021, arXiv 2102.10472).
Endpoints are stacked: a tensor `(copy, endpoint, *shape)` for each parameter. A point is a row of coefficients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import Float

Shape = Literal["line", "curve", "simplex"]


def along(shape: Shape, alpha: Float[Tensor, "*point"]) -> Float[Tensor, "*point endpoint"]:
    """Coefficients at α: 1 - α and α on a line (section 3.1); (1 - α)², α² and, for the bend, 2α(1 - α) on a curve."""
    if shape == "simplex":
        raise ValueError("a simplex has no alpha")
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

    With q = ⟨ω_i, ω_j⟩ / (‖ω_i‖² ‖ω_j‖²), the gradient for ω_i is 2β q ω_j - 2β q ⟨ω_i, ω_j⟩ / ‖ω_i‖² ω_i.

    `pairs` is 1 at (i, j) and (j, i) for the pair that a copy holds apart, else 0.
    """
    norms = inner.diagonal(dim1=1, dim2=2)
    q = pairs * inner / (norms.unsqueeze(2) * norms.unsqueeze(1))
    return 2 * beta * (q - torch.diag_embed((q * inner).sum(2) / norms))
