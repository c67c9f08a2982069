"""A figure: charts that stand side by side where there is room, what they show, and the same as tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import escape

from assay.report.charts import CONFIG, style_sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.report.charts import Spec
    from assay.report.tables import Table

MEANS = "Lines are means over seeds, bands reach from the least seed to the greatest"


@dataclass(frozen=True)
class Figure:
    """A section of the report.

    Attributes:
        name: of its file, and of its place in the page.
        caption: how to read it.
        charts: in Vega-Lite; without any, there is a caption that says why, or tables alone.
        tables: the same in numbers, each under its own heading.
        columns: charts in a row of the file.
        notes: sentences that a reader must not miss, such as flags.
        narrow: charts for the page on a narrow screen, where they are others.
    """

    name: str
    title: str
    caption: str
    charts: Sequence[Spec]
    tables: Mapping[str, Table]
    columns: int = 2
    notes: Sequence[str] = ()
    narrow: Sequence[Spec] = ()

    def specs(self, narrow: bool = False) -> list[str]:
        """Each chart as JSON, as wide as its place in a page, with nothing that ends a script."""
        fitted = {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
        wide = [chart | fitted for chart in (self.narrow if narrow else self.charts)]
        return [json.dumps(spec, allow_nan=False, separators=(",", ":")).replace("<", r"\u003c") for spec in wide]

    def file(self) -> str:
        """The charts as one SVG file with a title and the colours of both grounds."""
        import vl_convert

        def still(part: Spec) -> Spec:  # without what only a pointer needs
            if "condition" in part:
                return {"value": part["condition"]["value"]}
            if "layer" in part:
                part["layer"] = [one for one in part["layer"] if one.get("name") != "tips"]
            return {key: value for key, value in part.items() if key not in ("params", "tooltip", "tip")}

        own = dict.fromkeys(("color", "shape", "strokeDash"), "independent")
        spec = {"concat": list(self.charts), "columns": self.columns, "resolve": {"scale": own}}
        drawn = json.loads(json.dumps(spec, allow_nan=False), object_hook=still)
        head, rest = vl_convert.vegalite_to_svg(drawn, config=CONFIG).split(">", 1)
        return f"{head}><title>{escape(self.title)}</title><style>{style_sheet()}</style>{rest}\n"
