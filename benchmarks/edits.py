"""`python -m benchmarks.edits`: what retrains after an edit of one file of each room, as `assay plan` would say.

DVC reruns a stage if a file under its `deps` changed, and the stages after it where it then writes other bytes. The
seconds are those that the trainings among them took last, by metrics/timings.json. Writes benchmarks/edits.json, of
which `assay readme` makes the table in docs/usage.md.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import networkx as nx

from assay import models
from assay.core import config, files
from assay.core.config.blocks import stages_of
from assay.core.errors import AssayError, one_line_errors
from assay.core.plain import read_json
from assay.pipeline import dag
from assay.pipeline.plan import REGISTER
from assay.report import readme

TIMINGS = Path("metrics/timings.json")
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
    **{f"methods, {path.parent.name}": str(path) for path in sorted(Path("src/assay/methods").glob("*/__init__.py"))},
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


def edits() -> list[dict[str, Any]]:
    """A row for each room: the file, how many stages of each kind rerun, and the seconds of training."""
    with dag.opened(Path()) as repo:
        stages, graph = dag.in_order(repo), repo.index.graph.reverse()
        params, timed, rows = config.load(), read_json(TIMINGS, AGAIN, AGAIN), []
        runs = [*params.runs(), *config.block_runs(params)]
        trained = {stages_of(run.name)[0]: run.name for run in runs}
        if missing := trained.values() - timed.keys():
            raise AssayError(f"{TIMINGS}: has no {', '.join(sorted(missing))}; run `dvc repro` first")
        for room, pattern in ROOMS.items():
            file = next(iter(sorted(Path().glob(pattern))), Path(pattern))
            if not file.is_file() and "new" not in room:
                raise AssayError(f"benchmarks.edits: {room}: no file {pattern}; name another in ROOMS")
            paths = {str(path) for path in (file.resolve(), *file.resolve().parents)}
            networks = {f"networks.{run.arm}" for run in runs if models.source(run.model.name) == file.resolve()}
            own: list[Any] = []
            later: set[Any] = set()
            for stage in stages:  # parameters change by their keys alone, a file or folder by its path
                deps = (dep.params if hasattr(dep, "read_params") else [dep.fs_path] for dep in stage.deps)
                if (networks | paths).intersection(chain.from_iterable(deps)):
                    own.append(stage)
                    if stage.addressing != REGISTER:  # which writes what params.yaml says
                        later |= nx.descendants(graph, stage)
            row: dict[str, Any] = {"room": room, "file": str(file)}
            row["stages"] = dict(Counter(stage.addressing.partition("@")[0] for stage in own))
            for key, some in (("seconds", {*own}), ("seconds_at_most", later.union(own))):
                took = (timed[trained[one.addressing]]["seconds"] for one in some if one.addressing in trained)
                row[key] = round(sum(took))
            rows.append(row)
    return rows


if __name__ == "__main__":
    with one_line_errors():
        files.write_json(readme.EDITS, edits())
        print(readme.KINDS["edits"](Path()))
