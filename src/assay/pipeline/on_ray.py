"""The pipeline on a cluster of Ray: each unit, an arm or a chain of rounds with its evaluation, runs on some node.

The DVC remote is the bus: a node pulls what a unit reads and pushes what it writes (`unit`), in a clone of the tree as
it is here, uncommitted changes included, which comes as a git bundle. Then a plain `dvc repro --pull` restores here
what the nodes wrote, so nobody merges a dvc.lock. Ray has the queue, the retries on other nodes, and fractions of GPUs.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from assay.core.errors import AssayError
from assay.pipeline import bundle, dag, node, plan, side_by_side, unit, warm
from assay.pipeline.board import Board
from assay.pipeline.bundle import CPUS, GPUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from assay.pipeline.plan import Cost

ADDRESS = "RAY_ADDRESS"
ENVIRONMENT = "ASSAY_RAY_ENV"  # `pip`: Ray makes the locked environment on each node
RETRIES = 3  # of a unit whose node was lost
TO_ANSWER, PATIENCE = 180.0, 20.0  # seconds: for a node to say that it fits, for units to end that were cancelled
TO_INSTALL = 1800.0  # seconds: for Ray to make the environment on a node


def reproduce(root: Path, costs: Callable[[], Mapping[str, Cost]] = dict) -> None:
    """As `side_by_side.reproduce`, with units on the nodes of a cluster, longest first.

    A unit that fails stops nothing else. One whose node is lost runs on another, from its last checkpoint.

    Raises:
        AssayError: there is no cluster, a node or the remote does not fit, or a stage failed.
    """
    side_by_side.recover(root)
    costs = cache(costs)
    with dag.opened(root) as repo:
        found = plan.make(repo, ask_remote=True, costs=costs)
        restored = {step.stage: step.restored for step in found.steps} | dict(found.missing)
        parts = [part for part in side_by_side.units(repo, restored) if any(restored[name] is None for name in part)]
    print(f"{plan.headline(found)}.", flush=True)
    if not restored:
        return
    known = costs()
    seconds = {name: known[name].seconds if restored[name] is None and name in known else 0.0 for name in restored}
    with warm.started():
        if parts:
            with Cluster(root) as cluster:
                side_by_side.repro(root, "--pull", "prepare", *[plan.REGISTER] * (plan.REGISTER in seconds))
                cluster.run(sorted(parts, key=lambda part: -sum(seconds[name] for name in part)), seconds)
        side_by_side.repro(root, "--pull")


class Cluster:
    """A cluster that this process has joined, each node of which was looked at.

    Raises:
        AssayError: Ray is not installed, no cluster answers at the address, no node is large enough, or one has another
            environment or does not reach the remote; a line a node.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def __enter__(self) -> Cluster:
        ray = _installed()
        self._ray = ray
        _join(ray, self._root)
        try:
            self._fit, self._cpus, self._gpus, self._rooms = _fitting(ray)
            self._pack()
            ray.cloudpickle.register_pickle_by_value(node)
            self._look()
        except BaseException:
            ray.shutdown()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def _on(self, identity: str) -> Any:
        return self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(identity, soft=False)

    def _pack(self) -> None:
        self._job, content = bundle.packed(self._root)
        self._bundle = [self._ray.put(content)]  # in a list a task gets the reference, and fetches it only if it has to

    def _look(self) -> None:
        """Refuse nodes that would compute something else or reach nothing."""
        with _token(self._root) as token:
            task = self._ray.remote(num_cpus=0, max_retries=0)(node.check)
            asked = {
                each["NodeManagerAddress"]: task.options(scheduling_strategy=self._on(each["NodeID"])).remote(
                    self._job, self._bundle, token
                )
                for each in self._fit
            }
            patience = TO_ANSWER + TO_INSTALL * (ENVIRONMENT in os.environ)
            done, _ = self._ray.wait([*asked.values()], num_returns=len(asked), timeout=patience)
            said = dict.fromkeys(asked, f"it did not answer in {patience:.0f} s; is the remote mounted there?")
            for place in [place for place, one in asked.items() if one in done]:
                try:
                    said[place] = self._ray.get(asked[place])
                except self._ray.exceptions.RayError as error:  # it was lost, or its environment could not be made
                    said[place] = _reason(error)
        if wrong := [f"node {place}: {problem.removeprefix('error: ')}" for place, problem in said.items() if problem]:
            raise AssayError("\n".join(wrong))

    def run(self, parts: Sequence[Sequence[str]], seconds: Mapping[str, float]) -> None:
        """Have each part run, in this order as far as there is room.

        Raises:
            AssayError: some failed, with the reasons of each; all others were finished.
        """
        from ray.util.queue import Queue

        ray = self._ray
        with dag.opened(self._root) as repo:
            outs = unit.read_by(repo, dag.named(repo, chain.from_iterable(parts)))
            known = [out.hash_info.value for out in outs if not out.changed_cache()]
            unit.push(repo, known, "what the units read")
        self._pack()  # with the dvc.lock that has what was prepared since
        here = self._on(ray.get_runtime_context().get_node_id())  # not on a node that may be lost
        lines = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        board = Board([(part[0], sum(seconds[name] for name in part)) for part in parts])
        task = ray.remote(num_cpus=self._cpus, num_gpus=self._gpus, max_retries=RETRIES, retry_exceptions=False)(
            node.run
        )
        running = {}
        for part in parts:
            asked = node.Unit(tuple(part), self._cpus, max(self._rooms))
            running[task.options(name=part[0]).remote(self._job, self._bundle, asked, lines)] = part[0]
        waiting, failed = list(running), dict[str, str]()
        try:
            with board:
                while waiting:
                    done, waiting = ray.wait(waiting, timeout=0.5)
                    board.see(_taken(lines))
                    for one in done:
                        try:
                            ray.get(one)
                            board.end(running[one], "done")
                        except ray.exceptions.RayError as error:
                            failed[running[one]] = _reason(error)
                            board.end(running[one], "failed")
        except KeyboardInterrupt:
            for one in waiting:
                ray.cancel(one)
            ray.wait(waiting, num_returns=len(waiting), timeout=PATIENCE)
            raise
        for note in board.notes:
            print(note, flush=True)
        if failed:
            raise AssayError("\n".join(f"{name}: {reason}" for name, reason in failed.items()))


def slots(root: Path) -> int:
    """How many units the cluster runs at a time; errors as of `Cluster`, of nodes their size alone."""
    ray = _installed()
    _join(ray, root)
    try:
        return sum(_fitting(ray)[3])
    finally:
        ray.shutdown()


def _fitting(ray: Any) -> tuple[list[dict[str, Any]], int, float, list[int]]:
    """The nodes on which a unit fits, its processors and GPUs, and how many such units each node runs at a time.

    Raises:
        AssayError: it fits on none, or what is asked for is no number.
    """
    nodes = [each for each in ray.nodes() if each["Alive"]]
    cpus, gpus = _whole(CPUS), _share(any(each["Resources"].get("GPU") for each in nodes))
    asked = {"CPU": cpus, **({"GPU": gpus} if gpus else {})}
    rooms = [int(min(each["Resources"].get(name, 0) // one for name, one in asked.items())) for each in nodes]
    if not any(rooms):
        most = {name: max(each["Resources"].get(name, 0) for each in nodes) for name in ("CPU", "GPU")}
        said = f"no node has as much; the most is {most['CPU']:g} CPUs and {most['GPU']:g} GPUs"
        raise AssayError(f"{CPUS}={cpus}, {GPUS}={gpus:g}: {said}")
    fit = [(each, room) for each, room in zip(nodes, rooms, strict=True) if room]
    return [each for each, _ in fit], cpus, gpus, [room for _, room in fit]


def _installed() -> Any:
    try:
        import ray
    except ImportError:
        raise AssayError("--on ray: Ray is not installed here; pip install 'assay[ray]'") from None
    return ray


def _join(ray: Any, root: Path) -> None:
    """Connect this process to the cluster at RAY_ADDRESS, else to the one of this machine."""
    address = os.environ.get(ADDRESS, "auto")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    said = f"{ADDRESS}={address}: no cluster of Ray answers there; `ray start --head` begins one and prints its address"
    if address != "auto":
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, ValueError):
            raise AssayError(said) from None
    own: dict[str, Any] = {}
    if host.startswith("127."):
        own["_node_ip_address"] = host  # else Ray takes the machine's own address
    if (kind := os.environ.get(ENVIRONMENT)) == "pip":
        lines = (root / "requirements.lock").read_text(encoding="utf-8").splitlines()
        packages = [line for line in lines if line.strip() and not line.startswith("ray==")]  # it is there
        pip = {
            "packages": packages,
            "pip_check": False,
            "pip_install_options": ["--no-deps", "--disable-pip-version-check"],
        }
        own["runtime_env"] = {"pip": pip, "config": {"setup_timeout_seconds": int(TO_INSTALL)}}
        print("Ray makes the environment of requirements.lock on nodes that lack it: minutes, at first", flush=True)
    elif kind:
        raise AssayError(f"{ENVIRONMENT}={kind}: it should be pip, or not be set where nodes have the environment")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise AssayError(said if isinstance(error, ConnectionError) else f"{ADDRESS}={address}: {reason}") from None
    # of a node that is lost Ray prints its whole log; the board says so in a line
    ray._private.worker.print_to_stdstream = lambda *_, **__: None


def _whole(name: str) -> int:
    value = os.environ.get(name, "1")
    if not re.fullmatch("[1-9][0-9]{0,3}", value):
        raise AssayError(f"{name}={value}: it should be a whole number of processors, from 1")
    return int(value)


def _share(has_gpus: bool) -> float:
    """The GPUs of a unit: one where the cluster has any, unless ASSAY_UNIT_GPUS says it."""
    value = os.environ.get(GPUS, str(int(has_gpus)))
    with suppress(ValueError):
        share = float(value)
        if 0 <= share <= 1 or (share.is_integer() and 0 <= share <= 64):
            return share
    raise AssayError(f"{GPUS}={value}: it should be a share of a GPU, as 0.25, or a whole number of them")


@contextmanager
def _token(root: Path) -> Iterator[str]:
    """Lay a file in the remote for as long as nodes look for it: another remote of the same address lacks it."""
    name = f"{unit.CHECKPOINTS}/{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
    with dag.opened(root) as repo:
        with dag.remote_of(repo) as odb:
            remote = unit.Remote(repo, odb)
            remote.write(name)
        try:
            yield name
        finally:
            remote.remove(name)


def _taken(queue: Any) -> list[Any]:
    size = queue.qsize()
    return list(queue.get_nowait_batch(size)) if size else []


def _reason(error: Exception) -> str:
    """Why a unit failed: its own lines, or what Ray says of a node that was lost too often or has no environment."""
    from ray.exceptions import RuntimeEnvSetupError

    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    if isinstance(error, RuntimeEnvSetupError):  # its message is a traceback of Ray's
        return f"Ray could not make its environment: {lines[-1]}"
    return "\n".join(line.removeprefix("error: ") for line in lines[:8])
