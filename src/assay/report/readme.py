"""The figures in README.md, docs/ and the method cards: `assay readme` copies them.

Text between marks is generated, all else is left as it is:

    <!-- advice:begin -->                           what to use, below how many claims have which verdict
    <!-- results:begin -->                          verdicts and results of everything
    <!-- results:begin arms=baseline,line,round-* -->    of these arms alone, and their costs
    <!-- results:begin folder=results/x arms=* -->   of an archived run
    <!-- speed:begin -->                            what `make bench` measured
    <!-- tuning:begin -->                           what was tried before the trajectory arms were set
    <!-- equal-loss:begin -->                       its chains of different length at one mean loss
    <!-- sparsity:begin -->                         what `make bench-sparse` measured
    <!-- step-cost:begin -->                        what `make bench` measured of a line's step
    <!-- edits:begin -->                            what `python -m benchmarks.edits` found to retrain after an edit
    <!-- scale:begin -->                            what `python -m benchmarks.scale` says of clusters

each closed by its own end, as `<!-- results:end -->`. They come from committed files; results are those of `compare`.
"""

from __future__ import annotations

import fnmatch
import re
import sys
from pathlib import Path
from typing import Any

from assay.analysis import claims
from assay.core import files
from assay.core.config import BASELINE
from assay.core.errors import AssayError
from assay.core.plain import read_json
from assay.report import summary, tables, verdicts
from assay.report.figures import pruning, sampling
from assay.report.report import ADVICE, REPORT, SPARSITY, templates

README, OTHERS = Path("README.md"), ("docs/*.md", "docs/methods/*.md")
METRICS = summary.PATH.parent
BENCHMARK, EDITS = Path("benchmarks/results.json"), Path("benchmarks/edits.json")
SCALE = Path("benchmarks/scale.json")
TUNING = Path("docs/results/trajectory-tuning.json")
TUNED = (  # key, heading, unit, factor, format
    ("mean_loss", "Mean loss", "nats", 1, ".3f"),
    ("acceptance", "Acceptance", "", 1, ".2f"),
    ("batch_a_test", "n̄", "examples a test", 1, ".0f"),
    ("sigma", "σ", "", 1, ".4f"),
    ("members", "Members", "%", 100, ".2f"),
    ("ensemble", "Ensemble", "%", 100, ".2f"),
)


def results(folder: Path, arms: str | None, where: str) -> str:
    """The verdicts and the results as Markdown tables, from the summary.csv and claims.json of a folder.

    `arms` are names or patterns with commas between them: only these, and with their costs; None is everything, each
    arm by its first variant. `where` names the file that asks, for the message.

    Raises:
        AssayError: a file is missing or damaged, or there is no such arm.
    """
    rows, decided = summary.read(folder / summary.PATH.name), claims.read(folder / claims.PATH.name)
    names = list(dict.fromkeys(row.arm for row in rows))
    if arms is None:
        shown = [next(row for row in rows if row.arm == name) for name in names]
    else:
        chosen: set[str] = set()
        for pattern in arms.split(","):
            if not (found := fnmatch.filter(names, pattern)):
                there = ", ".join(names)
                raise AssayError(f"{where}: arms={pattern}: no such arm in {summary.PATH}; there are {there}")
            chosen.update(found)
        shown = [row for row in rows if row.arm in chosen]
        decided = [claim for claim in decided if claim.arm.partition("/")[0] in chosen - {BASELINE}]
    values = {
        "meanings": [] if arms else verdicts.meanings(decided),
        "headline": verdicts.headline(decided),
        "topics": verdicts.topics(decided, rows),
        "results": tables.results(shown),
        "costs": tables.costs(shown) if arms else None,
        "majority": summary.no_better_than_majority(shown),
    }
    return templates().get_template("results.md.j2").render(values)


# each of these gives a block of its kind; AssayError names the file that is missing and what writes it


def _step_cost(root: Path) -> str:
    content = _written(root / BENCHMARK, "make bench")
    line, machine = "line step against a baseline step", content["machine"]
    found = {"LeNet-300-100": line, "ResNet-20": f"{line}, resnet_20"}
    lines = [(name, [f"{content['methods'][key]:.2f} ×"]) for name, key in found.items()]
    note = f"Measured by `make bench` on {machine['processor']}, {machine['threads']} threads."
    return _table(tables.table("Network", [("A line's step", "against a baseline step")], lines), note)


def _sparsity(root: Path) -> str:
    rounds = _written(root / SPARSITY, "make bench-sparse")
    machine = rounds[0]["machine"]
    where = f"{machine['processor']}, {machine['threads']} threads, PyTorch {machine['torch']}"
    note = f"Measured by `make bench-sparse` on {where}; round 0 is the dense network."
    return _table(pruning.sparsity(rounds), note)


def _tuning(root: Path) -> str:
    content = _written(root / TUNING, "python -m benchmarks.trajectory_tuning")
    lines = [
        (name, [f"{factor * row[key]:{form}}" for key, _, _, factor, form in TUNED])
        for name, row in content["tried"].items()
    ]
    note = f"Accuracy is on the validation set; each line had about {content['samples']:,} forward samples."
    return _table(tables.table("Tried", [(heading, unit) for _, heading, unit, _, _ in TUNED], lines), note)


def _equal_loss(root: Path) -> str:
    text = _text(root / REPORT, "; `dvc repro` writes it")
    found = re.search(rf"\*\*{sampling.EQUAL_LOSS}\*\*\n\n((?:\|.*\n)+)", text)
    if not found:
        raise AssayError(f"{root / REPORT}: fewer than two trajectory arms, so nothing to show at equal loss")
    note = "Means over seeds, where the mean training loss of each first comes down to the highest of their least."
    return f"{found[1]}\n{note}\n"


def _edits(root: Path) -> str:
    rows = [
        "| room | file | stages that rerun | seconds of training | if they write other bytes |",
        "|---|---|---|---:|---:|",
    ]
    for row in _written(root / EDITS, "python -m benchmarks.edits"):
        shown = ", ".join(f"`{kind}`" + f" × {n}" * (n > 1) for kind, n in row["stages"].items()) or "none"
        seconds = f"{row['seconds']:,} | {row['seconds_at_most']:,}"
        rows.append(f"| {row['room']} | `{row['file']}` | {shown} | {seconds} |")
    return "\n".join([*rows, ""])


def _scale(root: Path) -> str:
    content = _written(root / SCALE, "python -m benchmarks.scale")
    first, *_ = content["minutes"]
    columns = [(name, "min") for name in first if name != "nodes"]
    lines = [(str(row["nodes"]), [f"{row[name]:g}" for name, _ in columns]) for row in content["minutes"]]
    longest = ", ".join(f"{one:g} min with {seeds} seeds" for seeds, one in content["longest unit, minutes"].items())
    beside = content["overhead, seconds"]
    note = (
        f"A node runs {content['slots of a node']} units at a time. The longest unit: {longest}. "
        f"Measured beside the trainings: {beside['unit']:g} s of each unit for pulling, starting and pushing, "
        f"{beside['evaluation']:g} s for each evaluation, and of the head {beside['head']:g} s in all and "
        f"{beside['stage']:g} s for each stage that it restores."
    )
    return _table(tables.table("Nodes", columns, lines), note)


def _text(path: Path, remedy: str = "") -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AssayError(f"{path}: not found{remedy}") from None


def _written(path: Path, command: str) -> Any:
    return read_json(path, f"`{command}` writes it", f"`{command}` writes it")


def _table(content: tables.Table, note: str) -> str:
    return templates().get_template("table.md.j2").render(table=content, note=note)


KINDS = {
    "advice": lambda root: _text(root / ADVICE, "; `dvc repro` writes it"),
    "speed": lambda root: templates().get_template("speed.md.j2").render(_written(root / BENCHMARK, "make bench")),
    "tuning": _tuning, "equal-loss": _equal_loss, "sparsity": _sparsity, "step-cost": _step_cost, "edits": _edits,
    "scale": _scale,
}  # fmt: skip
KIND = "|".join(["results", *KINDS])
OPTIONS = r"(?: folder=(?P<folder>\S+))?(?: arms=(?P<arms>\S+))?"
BLOCK = re.compile(
    rf"(?P<begin><!-- (?P<kind>{KIND}):begin{OPTIONS} -->)(?P<old>.*?)(?P<end><!-- (?P=kind):end -->)", re.DOTALL
)
MARK = re.compile(rf"<!-- (?:{KIND}):(?:begin|end).*-->")


def updated(root: Path, path: Path) -> str:
    """A file's text with what stands between its marks brought up to date.

    Raises:
        AssayError: a file is missing, or a mark has no partner.
    """
    text = _text(path)
    if MARK.search(BLOCK.sub("", text)) or any(MARK.search(block["old"]) for block in BLOCK.finditer(text)):
        raise AssayError(f"{path}: each `begin` mark of generated figures must be followed by its own `end`")

    def renew(block: re.Match[str]) -> str:
        how = KINDS.get(block["kind"])
        content = how(root) if how else results(root / (block["folder"] or METRICS), block["arms"], str(path))
        return f"{block['begin']}\n\n{content}\n{block['end']}"

    return BLOCK.sub(renew, text)


def main(check: bool, root: Path = Path()) -> int:
    """Rewrite the files, or with `check` only say which are out of date; gives the exit code.

    Raises:
        AssayError: as `updated`.
    """
    pages = [root / README, *(path for pattern in OTHERS for path in sorted(root.glob(pattern)))]
    renewed = {path: updated(root, path) for path in pages}
    stale = [path for path, text in renewed.items() if text != path.read_text(encoding="utf-8")]
    for path in stale:
        if check:
            print(f"{path}: its figures are out of date; run `assay readme`", file=sys.stderr)
        else:
            files.write_text(path, renewed[path])
    return int(check and bool(stale))
