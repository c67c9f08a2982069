"""The README's figures, copied from committed files: `python -m assay.reporting.readme [--check]`.

The results are those that `compare` wrote, the speeds those that `make bench` wrote.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from assay import files
from assay.errors import AssayError, one_line_errors
from assay.evaluation import claims
from assay.parsing import parse
from assay.reporting import summary, tables, verdicts
from assay.reporting.report import templates

README = Path("README.md")
BENCHMARK = Path("benchmarks/results.json")
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
SPEED_BEGIN, SPEED_END = "<!-- speed:begin -->", "<!-- speed:end -->"


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


def speeds(root: Path) -> str:
    """The benchmark's figures as a Markdown table, from benchmarks/results.json.

    Raises:
        AssayError: it is missing.
    """
    path = root / BENCHMARK
    try:
        content = files.read_json(path)
    except FileNotFoundError:
        raise AssayError(f"{path}: not found; `make bench` writes it") from None
    return templates().get_template("speed.md.j2").render(content)


def updated(root: Path) -> str:
    """The README's text with the blocks between their marks brought up to date; the one of speeds may be absent.

    Raises:
        AssayError: a file is missing, or the README does not hold each mark once, in order.
    """
    path = root / README
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AssayError(f"{path}: not found") from None
    text = _replaced(text, BEGIN, END, results(root), path)
    if SPEED_BEGIN in text:
        text = _replaced(text, SPEED_BEGIN, SPEED_END, speeds(root), path)
    return text


def _replaced(text: str, begin: str, end: str, content: str, path: Path) -> str:
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end or begin in rest or end in after:
        raise AssayError(f"{path}: must hold {begin} and, after it, {end}, each once, around its figures")
    return f"{before}{begin}\n\n{content}\n{end}{after}"


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
        print(f"{path}: its figures are out of date; run `python -m assay.reporting.readme`", file=sys.stderr)
        return 1
    files.write_text(path, text)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with code 1 when it is out of date")
    with one_line_errors():
        sys.exit(main(parser.parse_args().check))
