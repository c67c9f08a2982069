"""Vega's JavaScript, so that charts need no network: `python -m assay.report.vega <file>` writes it for DVC's plots."""

from __future__ import annotations

import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from assay.core import files

INSTALLED = Path(sys.prefix, "vega.js")  # `make install` writes it, and `.dvc/page.html` loads it


@cache
def script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that defines `vegaEmbed`, safe inside a page.

    It takes seconds to put together, and is read from where it is installed, unless that is of another version.
    """
    import vl_convert

    first = f"// of vl-convert {metadata.version('vl-convert-python')}\n"
    if INSTALLED.exists() and (known := INSTALLED.read_text(encoding="utf-8")).startswith(first):
        return known
    found = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # a snippet is optional
    return f"{first}(() => {{\n{found}\n}})();\n".replace("</script", r"<\/script").replace("<!--", r"<\!--")


if __name__ == "__main__":
    files.write_text(Path(sys.argv[1]), script())
