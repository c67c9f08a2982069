"""The sections of the report that are charts: one file each; a section whose arms did not run is absent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.report.figures import accuracy, calibration, equal_cost, learning, members, noise, pruning, subspace
from assay.report.figures import sampling as sampling_

if TYPE_CHECKING:
    from assay.report.content import Content
    from assay.report.figure import Figure

MAKERS = (
    equal_cost.figure,
    accuracy.figure,
    calibration.figure,
    noise.figure,
    pruning.figure,
    subspace.figure,
    members.figure,
    sampling_.figure,
    learning.figure,
)


def make(content: Content) -> list[Figure]:
    """All figures that there is data for, in a reader's order."""
    return [figure for maker in MAKERS if (figure := maker(content)) is not None]
