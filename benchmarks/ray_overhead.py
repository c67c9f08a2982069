"""What a cluster takes beside the trainings: `RAY_ADDRESS=HOST:PORT python -m benchmarks.ray_overhead`.

200 units that sleep for a second go to the cluster's nodes, through a remote of their own: what a node takes for one
beyond that second is pulling, starting and pushing. Then a clone without a cache restores the default from a remote
that has it all, compares and tracks, as the head does after its units, and evaluates each arm anew. It needs a
repository that is up to date, and nothing else to run on the machine. Writes benchmarks/ray_overhead.json, which
`benchmarks.scale` reads.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core import files
from assay.core.errors import AssayError, one_line_errors
from assay.pipeline import dag, on_ray, warm

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path("benchmarks/ray_overhead.json")
SECOND = 1.0  # of a unit's own
PIPELINE = """\
stages:
  prepare:
    cmd: mkdir -p data/prepared; cat raw.txt > data/prepared/raw.txt
    deps: [raw.txt]
    outs: [data/prepared]
  train:
    foreach: ${{arms}}
    do:
      cmd: sleep {second}; mkdir -p models; echo ${{key}} > models/${{key}}
      deps: [data/prepared]
      params: ["arms.${{key}}"]
      outs: ["models/${{key}}"]
  evaluate:
    foreach: ${{arms}}
    do:
      cmd: mkdir -p metrics/evaluate; wc -c < models/${{key}} > metrics/evaluate/${{key}}
      deps: ["models/${{key}}"]
      outs: ["metrics/evaluate/${{key}}"]
"""
REPRODUCE = "from pathlib import Path; from assay.pipeline import on_ray; on_ray.reproduce(Path.cwd())"
BEGINS = re.compile(r"(?P<unit>\S+): runs on (?P<node>\S+),")
TELLS = re.compile(r"\S+: on \S+, pull (?P<pull>[\d.]+) s, run (?P<run>[\d.]+) s, push (?P<push>[\d.]+) s")
ENDS = re.compile(r"(?P<unit>\S+): done;")


def timed(folder: Path, *command: str, **environment: str) -> Iterator[tuple[float, str]]:
    """The lines that a command prints, each with the seconds since it began; an `AssayError` where it fails."""
    began, lines = time.monotonic(), list[str]()
    own = {**os.environ, **environment}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=own,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            yield time.monotonic() - began, line
    if process.returncode:
        said = next((line.strip() for line in reversed(lines) if line.strip()), "nothing was said")
        raise AssayError(f"{' '.join(command[:3])}: exit code {process.returncode}: {said}")


def run(folder: Path, *command: str) -> None:
    """Run a command to its end; an `AssayError` where it fails."""
    for _ in timed(folder, *command):
        pass


def units(folder: Path, count: int) -> dict[str, Any]:
    """What a unit of a second takes beyond it, on the nodes at RAY_ADDRESS."""
    work = folder / "work"
    work.mkdir()
    arms = "".join(f"  unit-{number:03}: {{steps: {number + 1}}}\n" for number in range(count))
    (work / "params.yaml").write_text(f"arms:\n{arms}")
    (work / "dvc.yaml").write_text(PIPELINE.format(second=SECOND))
    (work / "raw.txt").write_text("1\n")
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(name, work)
    run(work, "git", "init", "--quiet")
    run(work, "dvc", "init", "--quiet")
    run(work, "dvc", "remote", "add", "--quiet", "--default", "team", str(folder / "remote"))
    run(work, "git", "add", "--all")
    run(work, "git", "-c", "user.name=assay", "-c", "user.email=assay@localhost", "commit", "--quiet", "-m", "units")
    begun, spans, told = dict[str, tuple[str, float]](), defaultdict[str, list[float]](list), list[dict[str, float]]()
    for seconds, line in timed(work, sys.executable, "-u", "-c", REPRODUCE):
        if found := BEGINS.match(line):
            begun[found["unit"]] = found["node"], seconds
        elif found := TELLS.match(line):
            told.append({what: float(one) for what, one in found.groupdict().items()})
        elif (found := ENDS.match(line)) and found["unit"] in begun:
            node, start = begun[found["unit"]]
            spans[node] += [start, seconds]
    turn = sum(max(span) - min(span) for span in spans.values()) / count
    parts = {
        "pull": [one["pull"] for one in told],
        "run, beyond the second": [one["run"] - SECOND for one in told],
        "push": [one["push"] for one in told],
    }
    return {
        "units": count,
        "nodes": len(spans),
        "processors": os.cpu_count(),
        "seconds from unit to unit, beyond the second": round(turn - SECOND, 2),
        "parts, median and most": {
            name: [round(statistics.median(found), 2), round(max(found), 2)] for name, found in parts.items()
        },
        "first unit, seconds": round(min(start for _, start in begun.values()), 1),
    }


def head(folder: Path, root: Path) -> dict[str, Any]:
    """What the head does after its units, on the default: restore, compare and track; and what an evaluation takes."""
    full, empty, remote = folder / "full", folder / "empty", folder / "default"
    for clone in (full, empty):
        run(root, "git", "clone", "--quiet", str(root), str(clone))
        run(clone, "dvc", "remote", "add", "--quiet", "--local", "--default", "team", str(remote))
    run(full, "dvc", "config", "--quiet", "--local", "cache.dir", str(root / ".dvc/cache"))
    run(full, "dvc", "push", "--quiet", "--run-cache")
    (empty / "dvc.lock").unlink()
    with dag.opened(empty) as repo:
        names = [stage.name for stage in repo.index.stages]
    evaluations = [name for name in names if name.startswith("evaluate")]
    repro = ("python", "-u", "-m", "assay.pipeline.quick_dvc", "repro")
    own = {"PYTHONPATH": str(empty / "src"), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    compares = ended = 0.0
    with warm.started():
        for ended, line in timed(empty, *repro, "--pull", **own):
            if line.startswith("Running stage 'compare'"):
                compares = ended
            elif line.startswith(("Running stage 'train", "Running stage 'evaluate")):
                raise AssayError(f"{line.strip()}: its result is not in DVC's cache; `make repro` first")
        again = timed(empty, *repro, "--force", "--single-item", *evaluations, **own, ASSAY_THREADS="1")
        *_, (evaluated, _) = again
    return {
        "stages": len(names),
        "a stage restored, seconds": round(compares / (len(names) - 2), 2),
        "compare and track, seconds": round(ended - compares, 1),
        "an evaluation, seconds": round(evaluated / len(evaluations), 2),
    }


def main() -> None:
    """Measure both, and write RESULTS."""
    parser = argparse.ArgumentParser(description="What a cluster takes beside the trainings.")
    parser.add_argument("--units", type=int, default=200)
    count = parser.parse_args().units
    if on_ray.ADDRESS not in os.environ:
        raise AssayError(f"{on_ray.ADDRESS}: it should be host:port of a running cluster; docs/scale.md says how")
    with tempfile.TemporaryDirectory(prefix="assay-overhead-") as folder:
        found = {"units": units(Path(folder), count), "head": head(Path(folder), Path.cwd())}
    files.write_json(RESULTS, found, depth=2)


if __name__ == "__main__":
    with one_line_errors():
        main()
