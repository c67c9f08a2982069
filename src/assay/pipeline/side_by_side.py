"""Stages that do not depend on each other, run side by side: each arm by a `dvc repro` of its own, on its own cores.

A stack of small networks keeps one core busy and a second one half: Python, thin layers and every start-up run on one.
Several commands of DVC may work in one repository, as long as none writes what another reads.
"""

from __future__ import annotations

import os
import re
import subprocess
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from assay.core import files, runtime
from assay.core.errors import AssayError
from assay.core.plain import yaml_of
from assay.pipeline import dag, lockfile, plan, quick_dvc, warm

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from assay.pipeline.plan import Cost

FIRST = (plan.REGISTER, plan.SCAN, "download", "prepare")  # every arm comes after them
DVC = ("python", "-m", "assay.pipeline.quick_dvc", "--wait-for-lock", "repro")
REASON = re.compile(r"error: ", re.IGNORECASE)
ENTRY = re.compile(r"^  \S", re.MULTILINE)  # where a stage's entry begins in dvc.lock
ADVICE = re.compile(r"To track the changes|\tgit add|To enable auto staging|\tdvc config|Use `dvc push`|Updating lock")


def jobs() -> int:
    """How many to run at a time: `ASSAY_JOBS`, or one for each thread up to four, or one where there is a GPU.

    Raises:
        AssayError: `ASSAY_JOBS` or `ASSAY_THREADS` is no number.
    """
    most = runtime.jobs() or min(runtime.threads(), 4)  # each holds a data set and a stack of networks in memory
    if most == 1 or os.environ.get("ASSAY_JOBS"):
        return most
    return 1 if runtime.device_name().startswith("cuda") else most  # to ask for it loads PyTorch: two seconds


def reproduce(root: Path, costs: Callable[[], Mapping[str, Cost]] = dict) -> None:
    """Bring the pipeline up to date: arms side by side, longest first; then a plain `dvc repro` for whatever is left.

    What a kill left of DVC's own files is repaired first. `costs` gives what each stage's training takes, for the order
    and for the time left that is printed.

    Raises:
        AssayError: a variable is no number, or a stage failed; those beside it were finished, and none was begun then.
    """
    recover(root)
    costs = cache(costs)
    with dag.opened(root) as repo:
        found = plan.make(repo, costs=costs)
        # those that DVC would not skip: the plan's, and those that stand but whose data is not here (a fresh clone)
        restored = {step.stage: step.restored for step in found.steps} | dict(found.missing)
        parts = units(repo, restored)
    print(f"{plan.headline(found)}.", flush=True)
    if not restored:
        return
    known = costs()
    seconds = {name: 0.0 if source or name not in known else known[name].seconds for name, source in restored.items()}
    at_a_time = jobs() if len(seconds) > 1 else 1
    beside = at_a_time > 1 and len(parts) > 1
    with warm.started():
        if targets := ["prepare"] * beside + [plan.REGISTER] * (plan.REGISTER in seconds):
            repro(root, *targets)
        if beside:
            parts.sort(key=lambda part: -sum(seconds[name] for name in part))
            _run(root, parts, seconds, min(at_a_time, len(parts)), max(1, runtime.threads() // at_a_time))
        repro(root)


def repro(root: Path, *arguments: str) -> None:
    """`dvc repro` with these arguments; an `AssayError` where it fails."""
    if code := subprocess.run([*DVC, *arguments], cwd=root, check=False).returncode:
        what = " and ".join(one for one in arguments if not one.startswith("-")) or "the pipeline"
        raise AssayError(f"{what}: dvc repro failed with exit code {code}; its own lines above say why")


def units(repo: Any, names: Collection[str]) -> list[list[str]]:
    """Of the stages named, those that may run side by side: sets, each in order, of which none reads another's results.

    Left out are the stages that all others rest on, and `compare` and `track`, which read whole folders into which
    several stages write. DVC does not pull into a folder that has holes, so the other stages must fill it before.
    """
    import networkx as nx

    stages = dag.in_order(repo)
    folders = {str(folder) for stage in stages for out in stage.outs for folder in Path(out.fs_path).parents}
    gathering = {stage.addressing for stage in stages if any(dep.fs_path in folders for dep in stage.deps)}
    beside = [stage for stage in stages if stage.addressing in {*names} - gathering - {*FIRST}]
    sets = nx.weakly_connected_components(repo.index.graph.subgraph(beside))
    return [[stage.addressing for stage in beside if stage in part] for part in sets]


def _run(root: Path, parts: Sequence[Sequence[str]], seconds: Mapping[str, float], jobs: int, threads: int) -> None:
    environment = {**os.environ, "ASSAY_THREADS": str(threads), "ASSAY_BESIDE": str(jobs)}
    stop, printing, left = Event(), Lock(), dict(enumerate(parts))

    def work(number: int) -> None:
        part = parts[number]
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
        with printing:
            del left[number]
            ahead = sum(seconds[name] for some in left.values() for name in some) / jobs
            about = f", at most about {plan.duration(ahead)}" if ahead else ""
            print(f"{part[0]}: done; {len(left)} of {len(parts)} left{about}", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(work, number) for number in range(len(parts))]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
    for future in running:
        future.result()


def recover(root: Path) -> None:
    """Make DVC's own files readable again, with a line for what is lost by it; nothing is done if they are.

    DVC rewrites dvc.lock and `.dvc/tmp/rwlock`, its list of running commands, in place. Where a kill or a full disk
    cuts that short, every later command of DVC refuses to run.
    """
    running = root / ".dvc/tmp/rwlock"
    if _is_stale(running):
        from dvc.lock import make_lock

        with make_lock(f"{running}.lock", tmp_dir=str(running.parent), wait=True):
            if _is_stale(running):
                running.unlink()
    path = root / lockfile.NAME
    if not path.is_file() or _is_whole(path.read_bytes().decode(errors="replace")):
        return
    path.unlink()
    taken = "it is removed"
    with suppress(AssayError):
        files.write_text(path, dag.git(root, "show", f"HEAD:{lockfile.NAME}"))
        taken = "that of the last commit takes its place"
    print(f"{lockfile.NAME}: cut short, as by a kill; {taken}, and DVC restores from its cache what was computed since")


def _is_whole(text: str) -> bool:
    """Whether this is a dvc.lock that DVC reads, or one with a merge's conflicts, which a person must solve."""
    if "<<<<<<<" in text:
        return True
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    begins = [found.start() for found in ENTRY.finditer(text)]
    if text.startswith(quick_dvc.HEAD) and begins:  # it is written from its start: only the last entry may be cut
        text = quick_dvc.HEAD + text[begins[-1] :]
    try:
        COMPILED_LOCKFILE_SCHEMA(yaml_of(text, lockfile.NAME))
    except (AssayError, Invalid):
        return False
    return text.endswith("\n")


def _is_stale(path: Path) -> bool:
    """Whether the list of running commands is damaged or none of them runs: their numbers may belong to others."""
    import psutil

    def is_dvc(pid: int) -> bool:
        with suppress(psutil.Error):
            return any("dvc" in word for word in psutil.Process(pid).cmdline())
        return False

    try:
        content = files.read_json(path)
        readers = (one for some in content.get("read", {}).values() for one in some)
        pids = [int(one["pid"]) for one in (*content.get("write", {}).values(), *readers)]
    except FileNotFoundError:
        return False
    except (ValueError, TypeError, KeyError, AttributeError):
        return True
    return bool(pids) and not any(map(is_dvc, pids))
