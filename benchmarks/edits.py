"""`python -m benchmarks.edits`: what retrains after an edit of one file of each room, as `assay plan` would say.

DVC reruns a stage if a file under its `deps` changed, and the stages after it where it then writes other bytes. The
seconds are those that the trainings among them took last, by metrics/timings.json. Writes benchmarks/edits.json, of
which `assay readme` makes the table in docs/usage.md.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from assay import models
from assay.core import config, files
from assay.core.config.blocks import stages_of
from assay.core.errors import AssayError, one_line_errors
from assay.core.plain import read_json
from assay.pipeline import dag
from assay.pipeline.plan import REGISTER

RESULTS, TIMINGS = Path("benchmarks/edits.json"), Path("metrics/timings.json")
AGAIN = f"`git checkout -- {TIMINGS}` restores it, `dvc repro` writes it"
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
    """A row for each room: the file, how many stages of each kind rerun, and the seconds of training.

    Raises:
        AssayError: a file of the pipeline cannot be read, a training was not timed, or a room has no such file.
    """
    import networkx as nx

    with dag.opened(root) as repo:
        stages, graph = dag.in_order(repo), repo.index.graph.reverse()
        params, timed, rows = config.load(), read_json(root / TIMINGS, AGAIN, AGAIN), []
        runs = [*params.runs(), *config.block_runs(params)]
        trained = {stages_of(run.name)[0]: run.name for run in runs}
        if missing := trained.values() - timed.keys():
            raise AssayError(f"{TIMINGS}: has no {', '.join(sorted(missing))}; run `dvc repro` first")
        seconds = {stage: timed[name]["seconds"] for stage, name in trained.items()}
        for room, pattern in ROOMS.items():
            file = next(iter(sorted(root.glob(pattern))), root / pattern)
            if not file.is_file() and "new" not in room:
                raise AssayError(f"benchmarks.edits: {room}: no file {pattern}; name another in ROOMS")
            above = {str(path) for path in (file.resolve(), *file.resolve().parents)}
            with_it = {f"networks.{run.arm}" for run in runs if models.source(run.model.name) == file.resolve()}
            first = {stage for stage in stages if any(_is_other(dep, above, with_it) for dep in stage.deps)}
            writers = [stage for stage in first if stage.addressing != REGISTER]  # which writes what params.yaml says
            later = {one for stage in writers for one in nx.descendants(graph, stage)} - first
            own, more = ([stage.addressing for stage in stages if stage in some] for some in (first, later))
            took, at_most = (round(sum(seconds.get(name, 0.0) for name in names)) for names in (own, own + more))
            kinds = dict(Counter(name.partition("@")[0] for name in own))
            row = {"stages": kinds, "seconds": took, "seconds_at_most": at_most}
            rows.append({"room": room, "file": str(file.relative_to(root)), **row})
    return rows


def _is_other(dep: Any, above: set[str], keys: set[str]) -> bool:
    """Whether a dependency changes: a file or folder by its path, parameters by their keys alone."""
    return bool(keys & set(dep.params)) if hasattr(dep, "read_params") else dep.fs_path in above


def main(root: Path = Path()) -> None:
    """Write the file."""
    rows = edits(root)
    files.write_json(root / RESULTS, rows)
    for row in rows:
        print(f"{row['room']}: {row['seconds']} s of training")


if __name__ == "__main__":
    with one_line_errors():
        main()
