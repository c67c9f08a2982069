"""`python -m benchmarks.edits`: what retrains after an edit of one file of each room, as `assay plan` would say.

DVC reruns a stage if a file under its `deps` changed, and the stages after it where it then writes other bytes. The
seconds are those that the trainings among them took last. Writes benchmarks/edits.json and the table in docs/usage.md.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from assay import models
from assay.core import config, files
from assay.core.errors import AssayError, one_line_errors
from assay.pipeline import dag, plan

RESULTS, PAGE = Path("benchmarks/edits.json"), Path("docs/usage.md")
MARKS = ("<!-- edits:begin -->", "<!-- edits:end -->")
ROOMS = {  # a pattern that names one file, or the first of several
    "stages, of a training": "stages/train.py",
    "stages, of the report": "stages/compare.py",
    "cli": "src/assay/cli/*.py",
    "pipeline": "src/assay/pipeline/plan.py",
    "review": "src/assay/review/comment.py",
    "tracking": "src/assay/tracking/sync.py",
    "report": "src/assay/report/report.py",
    "report, a chart": "src/assay/report/figures/claims.py",
    "analysis": "src/assay/analysis/claims.py",
    "scoring, a metric": "src/assay/scoring/metrics.py",
    **{
        f"methods, {path.parent.name}": str(path)
        for path in sorted(Path("src/assay/methods").glob("[!_]*/__init__.py"))
    },
    "engine": "src/assay/engine/loop.py",
    "models": "src/assay/models/__init__.py",
    "models, the networks of these arms": "src/assay/models/nets/mlp.py",
    "models, another network": "src/assay/models/nets/vgg.py",
    "models, a new network": "src/assay/models/nets/new.py",
    "data, a source": "src/assay/data/sources.py",
    "data, the catalogue": "src/assay/data/catalog.yaml",
    "data sets as prepared": "src/assay/data/sets/prepared.py",
    "core": "src/assay/core/files.py",
}


def edits(root: Path) -> list[dict[str, Any]]:
    """A row for each room: the file, the stages that rerun, those after them, and the seconds of training of both.

    Raises:
        AssayError: a file of the pipeline cannot be read, or a room has no such file.
    """
    import networkx as nx

    with dag.opened(root) as repo:
        stages, graph = dag.in_order(repo), repo.index.graph.reverse()
        seconds = {stage.addressing: plan.seconds_of(stage) or 0.0 for stage in stages}
        runs, rows = list(config.load().runs()), []
        for room, pattern in ROOMS.items():
            file = next(iter(sorted(root.glob(pattern))), root / pattern)
            if not file.is_file() and "new" not in room:
                raise AssayError(f"benchmarks.edits: {room}: no file {pattern}; name another in ROOMS")
            above = {str(path) for path in (file.resolve(), *file.resolve().parents)}
            with_it = {f"networks.{run.arm}" for run in runs if models.source(run.model.name) == file.resolve()}
            first = {
                stage
                for stage in stages
                if any(dep.fs_path in above or with_it & set(getattr(dep, "params", ())) for dep in stage.deps)
            }
            writers = [stage for stage in first if stage.addressing != "register"]  # which writes what params.yaml says
            later = {one for stage in writers for one in nx.descendants(graph, stage)} - first
            parts = [[stage.addressing for stage in stages if stage in some] for some in (first, later)]
            own, after = (dict(Counter(name.partition("@")[0] for name in names)) for names in parts)
            took, more = (round(sum(map(seconds.__getitem__, names))) for names in parts)
            row = {"stages": own, "after": after, "seconds": took, "seconds_at_most": took + more}
            rows.append({"room": room, "file": str(file.relative_to(root)), **row})
    return rows


def main(root: Path = Path()) -> None:
    """Write both files, and print the table."""
    rows = edits(root)
    head = "| room | file | stages that rerun | seconds of training | if they write other bytes |"
    lines = [head, "|---|---|---|---:|---:|"]
    for row in rows:
        shown = ", ".join(f"`{kind}`" + f" × {n}" * (n > 1) for kind, n in row["stages"].items()) or "none"
        seconds = f"{row['seconds']:,} | {row['seconds_at_most']:,}"
        lines.append(f"| {row['room']} | `{row['file']}` | {shown} | {seconds} |")
    table = "\n".join(lines)
    text = (root / PAGE).read_text(encoding="utf-8")
    begin, end = (text.find(mark) for mark in MARKS)
    if not 0 <= begin < end:
        raise AssayError(f"{PAGE}: the marks {' and '.join(MARKS)} are missing; the table goes between them")
    files.write_json(root / RESULTS, rows)
    files.write_text(root / PAGE, f"{text[: begin + len(MARKS[0])]}\n\n{table}\n\n{text[end:]}")
    print(table)


if __name__ == "__main__":
    with one_line_errors():
        main()
