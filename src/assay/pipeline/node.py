"""What a worker of Ray runs: it compares its environment, lays out the clone of its node, and runs units there.

`on_ray` sends this file by value, so a node needs Ray, git and the locked packages, and nothing of ours: what is
imported ahead is the standard library's.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

POLL = 0.2  # seconds


class Job(NamedTuple):
    """What a head asks of every node."""

    commit: str  # of its tree, uncommitted changes included
    config: str  # of DVC, with the remote
    packages: dict[str, str]  # the versions in requirements.lock, by name
    needed: tuple[str, ...]  # those without which nothing runs
    python: str
    environment: dict[str, str]


class Unit(NamedTuple):
    """Stages that run one after the other, on so many processors."""

    stages: tuple[str, ...]
    cpus: int
    beside: int  # that may run at a time on a node


def check(job: Job, bundle: Any, token: str) -> str:
    """What is wrong with this node, in a line; empty where units can run here and reach the remote."""
    try:
        if problem := _environment_problem(job):
            return problem
        clone = lay_out(job, bundle)
        command = [sys.executable, "-m", "assay.pipeline.unit", "--reach", token]
        done = subprocess.run(command, cwd=clone, env=_environment(job, clone), capture_output=True, text=True)
        return (done.stderr.strip().splitlines() or ["it ended without a word"])[-1] if done.returncode else ""
    except (OSError, subprocess.SubprocessError) as error:
        return " ".join(str(error).split())


def run(job: Job, bundle: Any, unit: Unit, board: Any) -> None:
    """Run a unit; what it prints goes to the queue `board`, as (unit, node, device, line), None at first.

    Raises:
        RuntimeError: it failed; the message is its reasons, or else its last line.
    """
    import ray

    place = ray.util.get_node_ip_address()
    devices = ", ".join(f"GPU {name}" for name in ray.get_gpu_ids()) or "CPU"

    def tell(line: str | None) -> None:
        board.actor.put_nowait.remote((unit.stages[0], place, devices, line))  # to wait would free this task's CPU

    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a script began Ray in its background
    tell(None)
    if job.commit not in _compared:  # once in this process: it takes a quarter of a second
        if problem := _environment_problem(job):  # of a node that joined after the head had looked
            raise RuntimeError(problem)
        _compared.add(job.commit)
    clone = lay_out(job, bundle)
    own = {"ASSAY_THREADS": str(unit.cpus), "ASSAY_BESIDE": str(unit.beside)}
    environment = {**_environment(job, clone), **own}
    path = os.pathsep.join([_warm(clone), str(Path(sys.executable).parent), os.environ["PATH"]])
    lines: list[str] = []
    process = subprocess.Popen(
        ["python", "-m", "assay.pipeline.unit", *unit.stages],
        cwd=clone,
        env={**environment, "PATH": path},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )

    def read() -> None:
        for line in process.stdout or ():
            if line := line.rstrip():
                lines.append(line)
                tell(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while process.poll() is None:  # Ray cancels by an interrupt, which a call that waits would not see
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL)
    finally:
        if process.poll() is None:
            _end_all()
            process.wait()
    reader.join(5)
    if process.returncode:
        reasons = [line for line in lines if line.lower().startswith("error: ")] or lines[-1:]
        raise RuntimeError("\n".join(dict.fromkeys(reasons)))


def lay_out(job: Job, bundle: Any) -> Path:
    """The clone of this node at the head's commit, made where it is not there; units of the node share it.

    It lies in the folder of Ray's session and goes with it; DVC's cache beside it serves further commits.
    """
    import ray

    home = Path(
        ray._private.worker._global_node.get_session_dir_path(), "assay", ray.get_runtime_context().get_node_id()
    )
    clone = home / job.commit
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not clone.is_dir():
            part = home / "part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            (part / "bundle").write_bytes(ray.get(bundle[0]))
            for command in (
                ["init", "--quiet"],
                ["fetch", "--quiet", "bundle", f"{job.commit}"],
                ["checkout", "--quiet", "--detach", job.commit],
            ):
                subprocess.run(["git", *command], cwd=part, check=True, capture_output=True)
            (part / "bundle").unlink()
            cache = f'[cache]\n    dir = {home / "cache"}\n    type = "reflink,hardlink,copy"\n'
            (part / ".dvc/config.local").write_text(job.config + cache, encoding="utf-8")
            part.rename(clone)
    return clone


def _environment(job: Job, clone: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}  # which Ray sets to 1
    return {**own, **job.environment, "PYTHONPATH": str(clone / "src"), "PYTHONUNBUFFERED": "1"}


def _environment_problem(job: Job) -> str:
    """Whether results could differ here from the head's."""
    if platform.python_version_tuple()[:2] != tuple(job.python.split(".")[:2]):
        return f"it has Python {platform.python_version()}, not {job.python}"
    other, missing = [], []
    for name, version in job.packages.items():
        try:
            if metadata.version(name) != version:
                other.append(f"{name} {metadata.version(name)}, not {version}")
        except metadata.PackageNotFoundError:
            missing += [name] * (name in job.needed)
    if other:
        return f"it has {'; '.join(other[:3])}{f'; and {len(other) - 3} more differ' if len(other) > 3 else ''}"
    return f"it lacks {', '.join(missing[:3])}, of requirements.lock" if missing else ""


_compared: set[str] = set()  # the commits whose packages this process has
_started: list[tuple[Any, Path]] = []


def _warm(clone: Path) -> str:
    """The folder with a `python` that begins with PyTorch and DVC imported, started once in this process."""
    if not _started:
        sys.path.insert(0, str(clone / "src"))
        from assay.pipeline import warm

        commands = warm.commands()
        _started.append((commands, commands.__enter__()))
        atexit.register(_cool)
    return str(_started[0][1])


def _cool() -> None:
    while _started:
        _started.pop()[0].__exit__(None, None, None)


def _end_all() -> None:
    """End the unit that this process runs, down to its training: what a stage saved is in the remote, or will be."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
    _cool()
