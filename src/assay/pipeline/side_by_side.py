"""Stages that do not depend on each other, run side by side: each arm by a `dvc repro` of its own, on its own cores.

A stack of small networks keeps one core busy and a second one half: Python, thin layers and every start-up run on one.
DVC takes one stage after the other, but several of its commands may work in one repository, as long as none writes what
another reads.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event, Lock
from typing import TYPE_CHECKING

from assay.foundation import runtime
from assay.foundation.errors import AssayError
from assay.pipeline import dag, plan, recovery

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

MOST_JOBS = 4  # each holds a data set and a stack of networks in memory
FIRST = ("scan", "download", "prepare")  # every arm rests on them
DVC = (sys.executable, "-m", "dvc", "--wait-for-lock", "repro")
REASON = re.compile(r"error: ", re.IGNORECASE)
ADVICE = re.compile(r"To track the changes|\tgit add|To enable auto staging|\tdvc config|Use `dvc push`|Updating lock")


def most_jobs() -> int:
    """The most to run at a time: `ASSAY_JOBS`, or one for each thread up to four.

    Raises:
        AssayError: `ASSAY_JOBS` or `ASSAY_THREADS` is no number.
    """
    return runtime.jobs() or min(runtime.threads(), MOST_JOBS)


def jobs() -> int:
    """How many to run at a time: the most, but one where there is a GPU and `ASSAY_JOBS` is not set.

    Raises:
        AssayError: as in `most_jobs`.
    """
    asked = os.environ.get("ASSAY_JOBS")
    return 1 if not asked and runtime.device_name().startswith("cuda") else most_jobs()


def reproduce(root: Path) -> None:
    """Bring the pipeline up to date: arms side by side, longest first; then a plain `dvc repro` for whatever is left.

    What a kill left of DVC's own files is repaired first.

    Args:
        root: the repository's root.

    Raises:
        AssayError: a number of jobs or threads is none, or a stage failed. Those that ran beside it were finished, and
            none was begun after it.
    """
    recovery.recover(root)
    seconds = _ahead(root) if most_jobs() > 1 else {}
    at_a_time = jobs() if seconds else 1  # to ask for a GPU takes PyTorch: two seconds, saved where nothing is to do
    if at_a_time > 1:
        parts = sorted(units(root, seconds), key=lambda part: -sum(seconds[name] for name in part))
        if len(parts) > 1:
            _check("prepare", subprocess.run([*DVC, FIRST[-1]], cwd=root, check=False).returncode)
            _run(root, parts, min(at_a_time, len(parts)), max(1, runtime.threads() // at_a_time))
    _check("the pipeline", subprocess.run(DVC, cwd=root, check=False).returncode)


def _ahead(root: Path) -> dict[str, float]:
    """The stages that DVC would not skip, and the seconds that their training takes: 0 if unknown, or restored.

    They are the plan's, and those that stand but whose data is not here: in a fresh clone all, though dvc.lock knows
    what they wrote.
    """
    with dag.opened(root) as repo:
        found = plan.of(repo)
        ahead = {step.stage: 0.0 if step.restored else step.seconds or 0.0 for step in found.steps}
        for stage in dag.in_order(repo):
            name = stage.addressing
            if name in found.missing:
                ahead[name] = 0.0 if found.missing[name] else plan.seconds_of(stage) or 0.0
        return ahead


def units(root: Path, names: Collection[str]) -> list[list[str]]:
    """Of the stages named, those that may run side by side, in sets of which none reads what another writes.

    Left out are the stages that all the others rest on, and those that gather what all the others wrote. Each set is in
    the order in which its stages run.
    """
    import networkx as nx

    with dag.opened(root) as repo:
        stages = dag.in_order(repo)
        apart = {*FIRST, *(stage.addressing for stage in dag.gathering(stages))}
        beside = [stage for stage in stages if stage.addressing in names and stage.addressing not in apart]
        sets = nx.weakly_connected_components(repo.index.graph.subgraph(beside))
        return [[stage.addressing for stage in beside if stage in part] for part in sets]


def _run(root: Path, parts: Sequence[Sequence[str]], jobs: int, threads: int) -> None:
    environment = {**os.environ, "ASSAY_THREADS": str(threads), "ASSAY_BESIDE": str(jobs)}
    stop, printing = Event(), Lock()

    def work(part: Sequence[str]) -> None:
        if stop.is_set():
            return
        command = [*DVC, "--single-item", *part]
        with subprocess.Popen(
            command, cwd=root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            reasons = []
            for line in process.stdout or ():
                if REASON.match(line):
                    reasons.append(line.strip())
                if line.strip() and not ADVICE.match(line):
                    with printing:
                        print(line, end="", flush=True)
        if process.returncode:
            stop.set()  # its reasons are said again at the end: what ran beside it went on printing
            raise AssayError("\n".join([f"{part[0]} or what rests on it failed", *reasons]))

    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(work, part) for part in parts]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
    for future in running:
        future.result()


def _check(what: str, code: int) -> None:
    if code:
        raise AssayError(f"{what}: dvc repro failed with exit code {code}; its own lines above say why")
