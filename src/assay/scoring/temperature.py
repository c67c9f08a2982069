"""Temperature scaling: one number a seed that takes back how much too sure, or too unsure, a variant is.

The control of claims about calibration: what is left of a difference in calibration when both sides are calibrated by
the simplest means there is (Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64
    from torch import Tensor

LEAST, MOST = 0.1, 10.0  # a validation set without an error has no least loss: ever colder is ever better
STEPS, CLOSE = 100, 1e-9  # of Newton's method, and the relative step at which it ends


def fit(logs: Float64[Tensor, "example class"], labels: Int64[Tensor, " example"]) -> float:
    """The temperature of one seed with the least mean NLL, between `LEAST` and `MOST`.

    `logs` are logarithms of the combined probabilities, of a single network its logits up to a constant of the example.
    The loss is convex in 1 / T, so its slope has one root: Newton's method finds it, halving the bracket where a step
    leaves it.
    """
    of_label = float(logs.gather(-1, labels[:, None]).mean())
    low, high, inverse = 1 / MOST, 1 / LEAST, 1.0
    for _ in range(STEPS):
        shares = (inverse * logs).softmax(-1)
        means = (shares * logs).sum(-1)
        slope = float(means.mean()) - of_label
        curvature = float(((shares * logs.square()).sum(-1) - means.square()).mean())
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > 0 else high
        step = step if low <= step <= high else (low + high) / 2
        if abs(step - inverse) <= CLOSE * inverse:
            break
        inverse = step
    return 1 / inverse


def scale(logs: Float64[Tensor, "example class"], temperature: float) -> Float64[Tensor, "example class"]:
    """The probabilities after scaling: the softmax of the logarithms divided by the temperature."""
    return (logs / temperature).softmax(-1)
