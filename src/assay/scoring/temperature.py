"""Temperature scaling: one number a seed that takes back how much too sure, or too unsure, a variant is.

The control of claims about calibration: what is left of a difference in calibration when both sides are calibrated by
the simplest means there is (Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64
    from torch import Tensor

LEAST, MOST = 0.1, 10.0  # a validation set without an error has no least loss: ever colder is ever better
STEPS, CLOSE = 100, 1e-9  # of Newton's method, and the relative step at which a seed's temperature stays


def fit(logs: Float64[Tensor, "seed example class"], labels: Int64[Tensor, " example"]) -> Float64[Tensor, " seed"]:
    """The temperature of each seed with the least mean NLL, between `LEAST` and `MOST`.

    `logs` are logarithms of the combined probabilities, of a single network its logits up to a constant of the example.
    The loss is convex in 1 / T, so its slope has one root: Newton's method finds it, halving the bracket where a step
    leaves it. Each seed stops by itself, so its temperature does not depend on the other seeds.
    """
    of_label = logs.gather(-1, labels.expand(len(logs), -1)[..., None])[..., 0].mean(1)
    low, high = torch.full_like(of_label, 1 / MOST), torch.full_like(of_label, 1 / LEAST)
    inverse, done = torch.ones_like(of_label), torch.zeros_like(of_label, dtype=torch.bool)
    for _ in range(STEPS):
        shares = (inverse[:, None, None] * logs).softmax(-1)
        means = (shares * logs).sum(-1)
        slope = means.mean(1) - of_label
        curvature = ((shares * logs.square()).sum(-1) - means.square()).mean(1)
        low, high = torch.where(slope < 0, inverse, low), torch.where(slope > 0, inverse, high)
        step = inverse - slope / curvature
        step = torch.where((low <= step) & (step <= high), step, (low + high) / 2)
        close = (step - inverse).abs() <= CLOSE * inverse
        inverse = torch.where(done, inverse, step)
        done = done | close
        if done.all():
            break
    return 1 / inverse


def scale(
    logs: Float64[Tensor, "seed example class"], temperatures: Float64[Tensor, " seed"]
) -> Float64[Tensor, "seed example class"]:
    """The probabilities after scaling: the softmax of the logarithms divided by each seed's temperature."""
    return (logs / temperatures[:, None, None]).softmax(-1)
