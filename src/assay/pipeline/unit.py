"""`python -m assay.pipeline.unit STAGE...`: run stages in a clone that shares results by the DVC remote alone.

What the stages read comes from the remote, and so does what another clone computed in the meantime; what they write
goes there, with the entries of DVC's run-cache, so that any clone at the same commit restores it. Checkpoints of a
training lie beside it, so that another machine goes on where this one was lost.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core import files
from assay.core.errors import AssayError, one_line_errors
from assay.core.plain import yaml_of
from assay.pipeline import dag, lockfile, quick_dvc, side_by_side

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

SCRATCH, CHECKPOINTS = Path(".assay/scratch"), "checkpoints"  # the latter in the remote
LOCKS = Path(".assay/units")
SECONDS = 2.0  # between looks for a new checkpoint
TIMINGS = "metrics/timings/"  # what differs from run to run
TOLD = "assay-unit "  # begins the line that tells what was done, for whoever started this


def main(*names: str) -> None:
    """Run these stages, in this order; what has a result in the remote is restored.

    Raises:
        AssayError: the remote does not answer or lacks what a stage reads, or a stage failed; what was done is pushed.
    """
    root, began = Path.cwd(), time.monotonic()
    with _alone(*names):
        side_by_side.recover(root)
        _run(root, names, began)


def _run(root: Path, names: Collection[str], began: float) -> None:
    with dag.opened(root) as repo, dag.remote_of(repo) as odb:
        remote = Remote(repo, odb)
        stages = dag.named(repo, names)
        with _alone("fetch"):  # else DVC would find what another unit has half laid out
            fetch(repo, stages)
            restored = _restore(repo, stages, remote)
        pulled = time.monotonic()
        ordered = [stage.addressing for stage in stages]
        with remote.checkpoints([name for name in ordered if name not in restored]):
            code = quick_dvc.main(["--wait-for-lock", "repro", "--single-item", *ordered])
        ran = time.monotonic()
        entries = lockfile.read(root)
        notes = [note for name in ordered if name in entries for note in remote.share(name, entries[name])]
    if code:
        raise AssayError(f"{ordered[0]} or what rests on it failed; the lines above say why")
    seconds = {"pull": pulled - began, "run": ran - pulled, "push": time.monotonic() - ran}
    told = {"restored": restored, "notes": notes, "seconds": {key: round(one, 2) for key, one in seconds.items()}}
    print(f"{TOLD}{json.dumps(told)}", flush=True)


@contextmanager
def _alone(*names: str) -> Iterator[None]:
    """Nobody else in this clone is inside with one of these names: a unit that is started twice waits, and restores."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for name in sorted(names):  # in one order, so that no two wait for each other
            fcntl.flock(stack.enter_context((LOCKS / name).open("w")), fcntl.LOCK_EX)
        yield


def reach(name: str) -> None:
    """Refuse a remote that lacks the file that a head has laid there: it is out of reach, or another."""
    with dag.opened(Path.cwd()) as repo, dag.remote_of(repo) as odb:
        if not Remote(repo, odb).has(name):
            raise AssayError(f"DVC remote: {odb.path} is not the one that this was started from; is it mounted here?")


def read_by(repo: Any, stages: Collection[Any]) -> list[Any]:
    """The outputs, in DVC's cache, that these stages read and others, by dvc.lock, have written."""
    own = {stage.addressing for stage in stages}
    paths = {dep.def_path for stage in stages for dep in stage.deps}
    others = [
        name
        for name, entry in lockfile.read(Path(repo.root_dir)).items()
        if name not in own and any(dag.touches(out["path"], *paths) for out in entry.get("outs", []))
    ]
    outs = [out for stage in dag.named(repo, others) for out in stage.outs]
    return [out for out in outs if out.use_cache and out.hash_info and dag.touches(out.def_path, *paths)]


def fetch(repo: Any, stages: Collection[Any]) -> None:
    """Bring here what these stages read, as dvc.lock has it.

    Raises:
        AssayError: a stage before them has not run, or the remote lacks a part of what it wrote.
    """
    for out in read_by(repo, stages):
        if out.changed_cache():
            pull(repo, [out.hash_info.value], f"{out.def_path}, which {out.stage.addressing} writes")
        if not out.exists or out.changed_checksum():
            out.checkout(force=True)
    made = [out.def_path for stage in stages for out in stage.outs]
    for path in [dep.def_path for stage in stages for dep in stage.deps if not dep.exists]:
        if not dag.touches(path, *made):
            raise AssayError(f"{path}: not here, and not in {lockfile.NAME}; the stage that writes it has to run first")


def pull(repo: Any, digests: Collection[str], where: str) -> None:
    """Bring these objects, and the files of those that are folders, from the remote to the local cache.

    Raises:
        AssayError: the remote lacks one of them.
    """
    for find in (_hashes, partial(_with_files, repo)):  # which files a folder has stands in its own object
        hashes = find(digests)
        repo.cloud.pull(hashes)
        if not all(repo.cache.local.exists(one.value) for one in hashes):
            raise AssayError(f"{where}: the remote does not have it; `dvc push` where it was computed")


def push(repo: Any, digests: Collection[str], where: str) -> None:
    """Bring these objects, and the files of those that are folders, to the remote; an `AssayError` where it fails."""
    if repo.cloud.push(_with_files(repo, digests)).failed:
        raise AssayError(f"{where}: could not be written to the remote; DVC's own lines above say why")


def _hashes(digests: Collection[str]) -> set[Any]:
    from dvc_data.hashfile.hash_info import HashInfo

    return {HashInfo("md5", digest) for digest in digests}


def _with_files(repo: Any, digests: Collection[str]) -> set[Any]:
    from dvc_data.hashfile.tree import Tree

    found = _hashes(digests)
    for folder in [one for one in found if one.isdir]:
        found |= {one for _, _, one in Tree.load(repo.cache.local, folder)}
    return found


def _restore(repo: Any, stages: Sequence[Any], remote: Remote) -> list[str]:
    """Bring the results here that others computed; gives the stages that have one, and so need not run."""
    found, known = [], dict[str, str | None]()
    for stage in stages:
        source, outs = dag.restorable(repo, stage, known, remote.odb) or (None, {})
        known |= {out.def_path: outs.get(out.def_path) for out in stage.outs}
        if source == "remote":
            pull(repo, [*outs.values()], stage.addressing)
            remote.fetch_entries(dag.run_key(stage))
        if source:
            found.append(stage.addressing)
    return found


class Remote:
    """The DVC remote, as what lies in it beside the objects: entries of the run-cache, and checkpoints."""

    def __init__(self, repo: Any, odb: Any) -> None:
        self.odb, self._repo, self._fs = odb, repo, odb.fs
        self._base = odb.path.removesuffix("/files/md5")

    def write(self, name: str) -> None:
        """Lay an empty file there."""
        path = self._fs.join(self._base, name)
        self._fs.makedirs(self._fs.parent(path), exist_ok=True)
        self._fs.pipe_file(path, b"")

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            self._fs.rm(self._fs.join(self._base, name))

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return bool(self._fs.exists(self._fs.join(self._base, name)))

    def fetch_entries(self, key: str) -> None:
        """Bring the run-cache's entries for a key here."""
        folder = Path(self._repo.stage_cache._get_cache_dir(key))
        for path in self._fs.find(self._entries(key)):
            self._get(path, folder / self._fs.name(path))

    def share(self, name: str, entry: Mapping[str, Any]) -> list[str]:
        """Bring a stage's result to the remote, given its entry in dvc.lock; gives what is to be noted.

        Of results for one key the first counts, whose entry no other joins: two that differ are never mixed.
        """
        from dvc.stage.cache import _get_cache_hash

        key, value = _get_cache_hash(dict(entry), key=True), _get_cache_hash(dict(entry))
        own = Path(self._repo.stage_cache._get_cache_path(key, value))
        if not own.is_file():
            return []  # it did not run here
        push(self._repo, [out["md5"] for out in entry["outs"]], name)
        folder = self._entries(key)
        if not self._names(folder):
            self._put(own, self._fs.join(folder, value))
        others = self._names(folder) - {value}
        texts = [self._fs.read_text(self._fs.join(folder, other), encoding="utf-8") for other in sorted(others)]
        return [f"{name}: {note}" for text in texts for note in differences(entry, yaml_of(text, "run-cache"))]

    @contextmanager
    def checkpoints(self, stages: Collection[str]) -> Iterator[None]:
        """Have these stages go on from what lies in the remote; what they write inside is brought there.

        The checkpoints of a stage that is done when the block ends are removed there too.
        """
        known = dict[Path, int]()
        for stage in stages:
            folder = self._fs.join(self._base, CHECKPOINTS, stage)
            for path in self._fs.find(folder):
                digest, *parts = self._fs.parts(self._fs.relpath(path, folder))
                place = SCRATCH.joinpath(f"{stage}-{digest}", *parts)
                if not place.exists():
                    self._get(path, place)
                    known[place] = place.stat().st_mtime_ns
        last, done = dict[str, str](), threading.Event()  # by stage the digest that its training has: others' go first

        def follow() -> None:
            while not done.wait(SECONDS):
                last.update(self._bring(stages, known))

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            last.update(self._bring(stages, known))
            for stage, digest in last.items():
                if not (SCRATCH / f"{stage}-{digest}").exists():
                    with suppress(FileNotFoundError):
                        self._fs.rm(self._fs.join(self._base, CHECKPOINTS, stage, digest), recursive=True)

    def _bring(self, stages: Collection[str], known: dict[Path, int]) -> dict[str, str]:
        """Bring there what is new of the stages' checkpoints; gives by stage the digest of one that it has."""
        found = {}
        for stage in stages:
            for path in SCRATCH.glob(f"{stage}-{'[0-9a-f]' * 16}/**/[!.]*.*"):  # not what is half written
                with suppress(FileNotFoundError):  # the training has ended, or wrote the next one
                    changed = path.stat().st_mtime_ns
                    folder, *parts = path.relative_to(SCRATCH).parts
                    found[stage] = digest = folder.removeprefix(f"{stage}-")
                    if known.get(path) == changed:
                        continue
                    self._put(path, self._fs.join(self._base, CHECKPOINTS, stage, digest, *parts))
                    known[path] = changed
        return found

    def _entries(self, key: str) -> str:
        return str(self._fs.join(self._base, "runs", key[:2], key))

    def _names(self, folder: str) -> set[str]:
        return {self._fs.name(path) for path in self._fs.find(folder)} if self._fs.exists(folder) else set()

    def _get(self, path: str, target: Path) -> None:
        with files.replacing(target) as temporary:
            self._fs.get_file(path, str(temporary))

    def _put(self, path: Path, target: str) -> None:
        if self._fs.protocol == "local":
            with files.replacing(Path(target)) as temporary:
                shutil.copyfile(path, temporary)
        else:
            self._fs.put_file(str(path), target)  # an object store has all of it or nothing


def differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What two results for the same key differ in, a line each: all that a stage wrote but how long it took."""
    digests = [{out["path"]: out["md5"] for out in entry["outs"]} for entry in (own, other)]
    return [
        f"{path} is {digests[0][path]} here, and {digests[1].get(path)} where it was computed first, which counts"
        for path in digests[0]
        if digests[0][path] != digests[1].get(path) and not path.startswith(TIMINGS)
    ]


if __name__ == "__main__":
    with one_line_errors():
        reach(*sys.argv[2:]) if sys.argv[1] == "--reach" else main(*sys.argv[1:])
