"""The report's charts: a file each, found by listing this package; one whose arms did not run is absent.

A file has `figure(content) -> Figure | None`, and may have `ORDER`, its place among the sections; else it comes last.
"""

from __future__ import annotations

import math
import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

from altair.utils.schemapi import debug_mode

if TYPE_CHECKING:
    from assay.report.charts import Figure
    from assay.report.content import Content


def make(content: Content) -> list[Figure]:
    """All figures that there is data for, in a reader's order."""
    modules = [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    modules.sort(key=lambda module: getattr(module, "ORDER", math.inf))
    with debug_mode(False):  # checking each part against Vega-Lite's schema takes most of the time
        return [figure for module in modules if (figure := module.figure(content)) is not None]
