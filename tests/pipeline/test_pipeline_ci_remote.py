"""What CI does when the remote, or what lies in it, is not as it should be: a clear error or a recomputation."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import shell_pipeline
from clone import ROOT, ran
from ruamel.yaml import YAML
from shell_pipeline import Tiny

if TYPE_CHECKING:
    from pathlib import Path


CI_REPRO = "assay ci-repro"


@pytest.fixture
def fresh(filled, tmp_path) -> Tiny:
    """A fresh clone with a copy of the remote for itself."""
    work, origin = filled
    made = shell_pipeline.clone(origin, tmp_path / "fresh")
    shutil.copytree(work.folder.parent / "remote", tmp_path / "remote")
    made.run("dvc", "remote", "modify", "--local", "team", "url", str(tmp_path / "remote"))
    return made


def stored(clone: Tiny, path: str, file: str | None = None) -> Path:
    """Where the remote keeps what dvc.lock records of an output, or of a file in the folder that it is."""
    stages = YAML(typ="safe").load(clone.folder / "dvc.lock")["stages"]
    (digest,) = {out["md5"] for stage in stages.values() for out in stage["outs"] if out["path"] == path}
    objects = clone.folder.parent / "remote/files/md5"
    if file is not None:
        listing = json.loads((objects / digest[:2] / digest[2:]).read_text())
        (digest,) = (entry["md5"] for entry in listing if entry["relpath"] == file)
    return objects / digest[:2] / digest[2:]


def results(clone: Tiny) -> dict[str, bytes]:
    return clone.bytes_of("metrics") | clone.bytes_of("models")


def test_a_folder_that_is_not_mounted_is_no_empty_remote(fresh):
    shutil.rmtree(fresh.folder.parent / "remote")
    fresh.change("params.yaml", "steps: 10", "steps: 11")
    done = fresh.ci_repro(check=False)
    assert done.returncode == 2
    assert f"error: DVC remote 'team': {fresh.folder.parent / 'remote'} is not there; mount it" in done.stderr
    assert ran(done.stdout) == []


def test_no_remote_at_all_is_one_line(fresh):
    fresh.run("dvc", "remote", "default", "--unset")
    done = fresh.ci_repro(check=False)
    assert done.returncode == 2
    assert "docs/ci.md shows how to set a remote" in done.stderr
    assert "Traceback" not in done.stderr


def test_objects_missing_or_corrupt_in_the_remote_are_computed_anew(filled, fresh):
    """Of an arm that nobody changed: `track` needs its model, `compare` its predictions."""
    stored(fresh, "data/predictions/b").unlink()
    _overwrite(stored(fresh, "models/b", "weights"), b"other bytes\n")
    fresh.change("params.yaml", "steps: 10", "steps: 11")
    ran = fresh.repro()
    assert sorted(ran) == ["compare", "evaluate@a", "evaluate@b", "track", "train@a", "train@b"]
    for name in ("data/predictions/b", "models/b/weights"):
        assert (fresh.folder / name).read_bytes() == (filled[0].folder / name).read_bytes()
    assert (fresh.folder / "metrics/summary.csv").read_text().count("\n") == 2


def test_a_corrupt_input_of_a_training_never_reaches_it(fresh):
    _overwrite(stored(fresh, "data/prepared", "sorted.txt"), b"other bytes\n")
    fresh.change("params.yaml", "steps: 10", "steps: 11")
    assert sorted(fresh.repro()) == ["compare", "evaluate@a", "prepare", "track", "train@a"]
    weights = (fresh.folder / "models/a/weights").read_text()
    assert "steps: 11" in weights
    assert "1\n2\n" in weights
    assert "other bytes" not in weights


@pytest.fixture(scope="module")
def two_branches(filled, tmp_path_factory) -> list[Tiny]:
    """Two clones, each with another arm changed on a branch of its name, that ran and pushed at the same time."""
    folder = tmp_path_factory.mktemp("two")
    clones = [shell_pipeline.clone(filled[1], folder / name) for name in ("left", "right")]
    for clone, change in zip(clones, (("steps: 10", "steps: 31"), ("steps: 20", "steps: 32")), strict=True):
        clone.run("git", "checkout", "-qb", clone.folder.name)
        clone.change("params.yaml", *change)
        clone.shell("git commit -qam change && git push -q origin HEAD")
    running = [
        subprocess.Popen(
            ["bash", "-c", f"{CI_REPRO} && assay ci-commit --branch {clone.folder.name}"],
            cwd=clone.folder,
            env=clone.environment,
            stdout=subprocess.DEVNULL,
        )
        for clone in clones
    ]
    assert [process.wait(200) for process in running] == [0, 0]
    return clones


def test_two_branches_push_at_once_and_both_are_right(filled, two_branches, tmp_path):
    for clone in two_branches:
        third = shell_pipeline.clone(filled[1], tmp_path / clone.folder.name)
        third.run("git", "checkout", "-q", clone.folder.name)
        third.run("dvc", "pull", "--allow-missing")
        assert results(third) == {
            name: content for name, content in results(clone).items() if name != "metrics/mlflow.json"
        }


def test_a_branch_that_moved_on_is_left_alone(filled, tmp_path):
    slow, quick = (shell_pipeline.clone(filled[1], tmp_path / name) for name in ("slow", "quick"))
    for clone in (slow, quick):
        clone.run("git", "checkout", "-qb", "moving")
    (slow.folder / "metrics/summary.csv").write_text("new\n")
    quick.shell("git commit -q --allow-empty -m meanwhile && git push -q origin HEAD")
    done = slow.run("assay", "ci-commit", "--branch", "moving", check=False)
    assert done.returncode == 2
    assert "error: branch moving has moved on since this run began" in done.stderr
    assert (
        slow.run("git", "ls-remote", "origin", "moving").stdout.split()[0]
        == quick.run("git", "rev-parse", "HEAD").stdout.strip()
    )


def conflict_commands() -> str:
    """The commands that docs/ci.md gives for a conflict in dvc.lock."""
    text = (ROOT / "docs/ci.md").read_text()
    return text.partition("## A conflict in dvc.lock")[2].partition("```sh\n")[2].partition("```")[0]


def test_a_conflict_in_the_lock_is_solved_by_dropping_it(filled, two_branches, tmp_path):
    """As docs/ci.md says, word for word: both sides' results are restored, and only what takes seconds runs."""
    commands = conflict_commands().replace("origin/main", "origin/left").replace("make ci-repro", CI_REPRO)
    assert "rm dvc.lock" in commands
    merging = shell_pipeline.clone(filled[1], tmp_path / "merging")
    merging.run("git", "checkout", "-q", "right")
    done = merging.shell(commands)
    assert "CONFLICT (content): Merge conflict in dvc.lock" in done.stdout
    assert ran(done.stdout) == ["compare", "track"]
    for arm, steps in (("a", b"31"), ("b", b"32")):
        assert steps in (merging.folder / f"models/{arm}/weights").read_bytes()
    assert merging.run("git", "status", "--porcelain", "--untracked-files=no").stdout == ""
    assert json.loads(merging.run("assay", "plan", "--json").stdout)["steps"] == []


def _overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)
