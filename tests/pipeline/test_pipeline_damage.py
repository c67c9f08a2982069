"""Full and read-only disks, damaged caches, and what kills leave of DVC's own files: real commands, each time healed.

The tests of this module share one clone, which lies on a small disk of its own, and run in order.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from clone import PARAMS, Clone, ran
from shell_pipeline import STAGES, Tiny

from assay.pipeline import lockfile

MEGABYTES = 48
REASON = "no space left on the device|file larger than this system allows"
WEIGHTS = "models/long/weights.safetensors"


class SmallClone(Clone):
    """A clone on a tmpfs; where nobody may mount one, its commands run under a limit on the size of files instead."""

    def __init__(self, folder) -> None:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
        self.mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        super().__init__(folder)
        self.filler = folder / "filler"

    @contextmanager
    def full(self, room: int = 0):
        """Fill the disk up to `room` bytes; gives what runs a command under these conditions."""
        if not self.mounted:
            limited = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh", sys.executable)
            yield lambda *command, **options: self.run(*limited, *command, check=False, **options)
            return
        self.filler.write_bytes(bytes(shutil.disk_usage(self.folder).free - room))
        try:
            yield lambda *command, **options: self.run("python", *command, check=False, **options)
        finally:
            self.filler.unlink()

    def parts(self) -> list:
        """Files that were left half-written."""
        return list(self.folder.rglob(".*.part"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    small = SmallClone(folder)
    rounds = {**PARAMS["lottery"], "rounds": {}, "controls": []}
    small.write({**PARAMS, "arms": {"long": PARAMS["arms"]["long"]}, "claims": [], "lottery": rounds})
    yield small
    if small.mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def check_line(done, path: str) -> None:
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(rf"error: ({REASON}): {path}; .* and run it again: what is done is kept\n", done.stderr)


def test_on_a_full_disk_each_stage_ends_with_a_line_and_goes_on_once_there_is_space(clone):
    def stage(*command, **options):
        return clone.run("python", "-m", *command, **options)

    stage("stages.download")
    with clone.full() as run:
        check_line(run("-m", "stages.prepare"), "data/prepared")
    stage("stages.prepare")
    stage("stages.baseline")
    stage("stages.evaluate", "baseline")
    stage("stages.train", "long")
    whole = clone.bytes_of("models/long")
    shutil.rmtree(clone.folder / "models/long")
    with clone.full(room=60_000) as run:  # for one checkpoint, but not for a second beside it
        done = run("-m", "stages.train", "long", ASSAY_CHECKPOINT_SECONDS="0")
        check_line(done, r"\.assay/scratch/train@long-\w+/checkpoint\.pt")
        assert not clone.parts()
    again = stage("stages.train", "long")
    assert ("goes on from step" in again.stdout) == clone.mounted
    assert clone.bytes_of("models/long") == whole
    with clone.full() as run:
        check_line(run("-m", "stages.evaluate", "long"), r"data/predictions/long\.safetensors")
    stage("stages.evaluate", "long")
    with clone.full() as run:
        check_line(run("-m", "stages.register"), r"metrics/plan\.json")
    stage("stages.register")
    with clone.full() as run:
        check_line(run("-m", "stages.compare"), r"metrics/summary\.csv")
    stage("stages.compare")
    before = clone.bytes_of("metrics")
    with clone.full() as run:
        check_line(run("-m", "stages.compare"), r"metrics/summary\.csv")
        assert not clone.parts()
    assert clone.bytes_of("metrics") == before


def test_so_does_the_pipeline_whose_own_files_a_full_disk_cuts_short(clone):
    whole = clone.bytes_of("models") | clone.bytes_of("metrics/evaluate")
    for room in (0, 200_000):
        with clone.full(room) as run:
            done = run("-m", "assay.cli", "repro", ASSAY_JOBS="2")
            assert done.returncode == 2
            assert "Traceback" not in done.stderr + done.stdout
    clone.run("assay", "repro", ASSAY_JOBS="2")
    assert clone.bytes_of("models") | clone.bytes_of("metrics/evaluate") == whole


def test_a_damaged_cache_is_noticed_and_the_advice_heals_it(clone):
    path, whole = clone.folder / WEIGHTS, (clone.folder / WEIGHTS).read_bytes()
    digest = lockfile.digest(path)
    cached = clone.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    mode = cached.stat().st_mode
    cached.chmod(0o644)
    cached.write_bytes(whole[: -len(whole) // 4].ljust(len(whole), b"\0"))
    cached.chmod(mode)
    shutil.rmtree(path.parent)
    clone.run("dvc", "checkout", "models/long")
    assert path.read_bytes() != whole
    evaluation = clone.bytes_of("metrics/evaluate")
    done = clone.run("python", "-m", "stages.evaluate", "long", check=False)
    assert done.returncode == 2
    said = rf"error: {WEIGHTS}: damaged or altered: not the SHA-256 in manifest\.json; run `(.+)`.*\n"
    advice = re.fullmatch(said, done.stderr)
    clone.run("sh", "-c", advice[1])
    assert path.read_bytes() == cached.read_bytes() == whole
    assert clone.bytes_of("metrics/evaluate") == evaluation


def test_a_read_only_disk_is_a_line(clone):
    if clone.mounted:
        subprocess.run(["mount", "-o", "remount,ro", str(clone.folder)], check=True)
        try:
            done = clone.run("python", "-m", "stages.evaluate", "long", check=False)
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(clone.folder)], check=True)
        assert done.returncode == 2
        assert re.fullmatch(r"error: read-only file system: data/predictions/long\.safetensors; .*\n", done.stderr)


@pytest.fixture
def tiny(filled, tmp_path):
    shutil.copytree(filled[0].folder, tmp_path / "work", symlinks=True)
    return Tiny(tmp_path / "work")


def cut_lock(tiny) -> None:
    path = tiny.folder / lockfile.NAME
    path.write_text(path.read_text()[:-40])


def cut_lock_early(tiny) -> None:
    path = tiny.folder / lockfile.NAME
    path.write_text(path.read_text().partition("    outs:\n")[0] + "    outs:\n    - pa")


def empty_lock(tiny) -> None:
    """Truncated, and killed before the first byte was written."""
    (tiny.folder / lockfile.NAME).write_text("")


def cut_commands(tiny) -> None:
    (tiny.folder / ".dvc/tmp/rwlock").write_text('{"write": {"/a": {"pid": 1')


def number_of_another(tiny) -> None:
    """The number of a killed `dvc repro` belongs to another process now."""
    locked = f'{{"write": {{"{tiny.folder}/models/a": {{"pid": 1, "cmd": "dvc repro"}}}}, "read": {{}}}}'
    (tiny.folder / ".dvc/tmp/rwlock").write_text(locked)


@pytest.mark.parametrize("damage", [cut_lock, cut_lock_early, empty_lock, cut_commands, number_of_another])
def test_what_a_kill_leaves_of_dvcs_own_files_is_repaired(tiny, damage):
    before = lockfile.read(tiny.folder)
    damage(tiny)
    tiny.shell("rm -r models/a")
    done = tiny.side_by_side(ASSAY_JOBS="1")
    assert ran(done.stdout) == []
    assert lockfile.read(tiny.folder) == before
    assert (tiny.folder / "models/a").exists()


def test_digests_of_outputs_are_dvcs_own(filled):
    entries = lockfile.read(filled[0].folder)
    assert set(entries) == set(STAGES)
    outs = [out for entry in entries.values() for out in entry.get("outs", [])]
    assert any(out["md5"].endswith(".dir") for out in outs)
    for out in outs:
        assert lockfile.digest(filled[0].folder / out["path"]) == out["md5"]
