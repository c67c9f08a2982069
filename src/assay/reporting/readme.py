"""The README's results, copied from what `compare` wrote: `python -m assay.reporting.readme [--check]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from assay import files
from assay.config import parse
from assay.errors import AssayError, one_line_errors
from assay.evaluation import claims
from assay.reporting import summary, tables, verdicts
from assay.reporting.report import templates

README = Path("README.md")
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def results(root: Path) -> str:
    """The verdicts and the results as Markdown tables, from metrics/summary.csv and metrics/claims.json.

    Raises:
        AssayError: one of them is missing or damaged.
    """
    path = root / claims.PATH
    try:
        content = files.read_json(path)
    except (FileNotFoundError, ValueError) as error:
        raise AssayError(f"{path}: {error}; `dvc repro` writes it") from None
    decided = [parse(claims.ClaimRecord, claim, str(path)) for claim in content]
    rows = summary.read(root / summary.PATH)
    values = {"claims": verdicts.views(decided, rows), "results": tables.results(rows)}
    return templates().get_template("results.md.j2").render(values)


def updated(root: Path) -> str:
    """The README's text with the block between its two marks brought up to date.

    Raises:
        AssayError: a file is missing, or the README does not hold each mark once, in order.
    """
    path = root / README
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AssayError(f"{path}: not found") from None
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise AssayError(f"{path}: must hold {BEGIN} and, after it, {END}, each once, around its results")
    return f"{before}{BEGIN}\n\n{results(root)}\n{END}{after}"


def main(check: bool, root: Path = Path()) -> int:
    """Rewrite the README, or with `check` only say whether it is out of date; gives the exit code.

    Raises:
        AssayError: as `updated`.
    """
    text = updated(root)
    path = root / README
    if text == path.read_text(encoding="utf-8"):
        return 0
    if check:
        print(f"{path}: its results are out of date; run `python -m assay.reporting.readme`", file=sys.stderr)
        return 1
    files.write_text(path, text)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with code 1 when it is out of date")
    with one_line_errors():
        sys.exit(main(parser.parse_args().check))
