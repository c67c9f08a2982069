"""Vega's JavaScript as a file, so that `dvc plots show` needs no network: `python -m assay.report.vega <file>`."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.core import files

VEGA_LITE = "5.21"  # of the version 5 that DVC's chart templates are written in


def main(path: Path) -> None:
    """Write Vega, Vega-Lite and Vega-Embed as one script that defines `vegaEmbed`; `.dvc/page.html` loads it."""
    import vl_convert

    script = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]  # a snippet is optional
    files.write_text(path, f"(() => {{\n{script}\n}})();\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="where the script goes")
    main(parser.parse_args().path)
