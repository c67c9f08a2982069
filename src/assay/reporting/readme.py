"""The figures in README.md and in the method cards, copied from committed files: `python -m assay.reporting.readme`.

Text between marks is generated, all else is left as it is:

    <!-- results:begin -->                          verdicts and results of everything
    <!-- results:begin arms=baseline,line,round-* -->    of these arms alone, and their costs
    <!-- speed:begin -->                            what `make bench` measured
    <!-- tuning:begin -->                           what was tried before the trajectory arms were set
    <!-- equal-loss:begin -->                       its chains of different length at one mean loss
    <!-- sparsity:begin -->                         what `make bench-sparse` measured

each closed by its own end, as `<!-- results:end -->`. The results are those that `compare` wrote.
"""

from __future__ import annotations

import argparse
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from assay import files
from assay.config import BASELINE
from assay.errors import AssayError, one_line_errors
from assay.evaluation import claims
from assay.parsing import parse
from assay.reporting import summary, tables, verdicts
from assay.reporting.report import templates

if TYPE_CHECKING:
    from collections.abc import Sequence

README, CARDS = Path("README.md"), "docs/methods/*.md"
MEASURED = {  # by kind: the file, what writes it, and the template
    "speed": ("benchmarks/results.json", "make bench", "speed.md.j2"),
    "sparsity": ("benchmarks/sparsity.json", "make bench-sparse", "sparsity.md.j2"),
    "equal-loss": ("docs/results/trajectory-equal-loss.json", "python -m benchmarks.equal_loss", "equal_loss.md.j2"),
    "tuning": ("docs/results/trajectory-tuning.json", "python -m benchmarks.trajectory_tuning", "tuning.md.j2"),
}
KINDS = "|".join(["results", *MEASURED])
BLOCK = re.compile(
    rf"<!-- (?P<kind>{KINDS}):begin(?: arms=(?P<arms>\S+))? -->(?P<old>.*?)<!-- (?P=kind):end -->", re.DOTALL
)
MARK = re.compile(rf"<!-- (?:{KINDS}):(?:begin|end).*-->")


def results(root: Path, arms: str | None, where: str) -> str:
    """The verdicts and the results as Markdown tables, from metrics/summary.csv and metrics/claims.json.

    Args:
        root: of the repository.
        arms: names or patterns with commas between them: only these, and with their costs; None is everything, each
            arm by its first variant.
        where: names the file that asks, for the message.

    Raises:
        AssayError: a file is missing or damaged, or there is no such arm.
    """
    rows, decided = _summary(root), _claims(root)
    names = list(dict.fromkeys(row.arm for row in rows))
    if arms is None:
        shown, costly = [next(row for row in rows if row.arm == name) for name in names], False
    else:
        chosen = _chosen(arms, names, where)
        shown, costly = [row for row in rows if row.arm in chosen], True
        decided = [claim for claim in decided if claim.arm.partition("/")[0] in chosen - {BASELINE}]
    values = {
        "headline": verdicts.headline(decided),
        "topics": verdicts.topics(decided, rows),
        "results": tables.results(shown),
        "costs": tables.costs(shown) if costly else None,
    }
    return templates().get_template("results.md.j2").render(values)


def _chosen(arms: str, names: Sequence[str], where: str) -> set[str]:
    chosen: set[str] = set()
    for pattern in arms.split(","):
        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            raise AssayError(f"{where}: arms={pattern}: no such arm in {summary.PATH}; there are {', '.join(names)}")
        chosen.update(found)
    return chosen


def _summary(root: Path) -> list[summary.Row]:
    return summary.read(root / summary.PATH)


def _claims(root: Path) -> list[claims.ClaimRecord]:
    path = root / claims.PATH
    try:
        content = files.read_json(path)
    except (FileNotFoundError, ValueError) as error:
        raise AssayError(f"{path}: {error}; `dvc repro` writes it") from None
    return [parse(claims.ClaimRecord, claim, str(path)) for claim in content]


def measured(root: Path, kind: str) -> str:
    """The figures of a file that a command of its own writes, as a Markdown table.

    Args:
        root: of the repository.
        kind: a key of `MEASURED`.

    Raises:
        AssayError: the file is missing.
    """
    name, command, template = MEASURED[kind]
    try:
        content = files.read_json(root / name)
    except FileNotFoundError:
        raise AssayError(f"{root / name}: not found; `{command}` writes it") from None
    return templates().get_template(template).render(content=content)


def updated(root: Path, path: Path) -> str:
    """A file's text with what stands between its marks brought up to date.

    Raises:
        AssayError: a file is missing, or a mark has no partner.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AssayError(f"{path}: not found") from None
    stray = MARK.search(BLOCK.sub("", text))
    nested = any(MARK.search(block["old"]) for block in BLOCK.finditer(text))
    if stray or nested:
        raise AssayError(f"{path}: each `begin` mark of generated figures must be followed by its own `end`")

    def renew(block: re.Match[str]) -> str:
        begin = text[block.start() : block.start("old")]
        end = text[block.end("old") : block.end()]
        kind = block["kind"]
        content = measured(root, kind) if kind in MEASURED else results(root, block["arms"], str(path))
        return f"{begin}\n\n{content}\n{end}"

    return BLOCK.sub(renew, text)


def main(check: bool, root: Path = Path()) -> int:
    """Rewrite the files, or with `check` only say which are out of date; gives the exit code.

    Raises:
        AssayError: as `updated`.
    """
    pages = [root / README, *sorted(root.glob(CARDS))]
    renewed = {path: updated(root, path) for path in pages}
    stale = [path for path, text in renewed.items() if text != path.read_text(encoding="utf-8")]
    for path in stale:
        if check:
            print(f"{path}: its figures are out of date; run `python -m assay.reporting.readme`", file=sys.stderr)
        else:
            files.write_text(path, renewed[path])
    return int(check and bool(stale))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with code 1 when one is out of date")
    with one_line_errors():
        sys.exit(main(parser.parse_args().check))
