"""A unit runs in a clone that shares results with others by the remote alone."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time

import pytest
from clone import ran
from shell_pipeline import clone

from assay.pipeline import unit

UNIT = ("python", "-m", "assay.pipeline.unit")
PART = ("train@a", "evaluate@a")


@pytest.fixture
def team(filled, tmp_path):
    """A new clone of the filled repository at a commit whose results nobody has; the remote is the test's own."""
    shutil.copytree(filled[0].folder.parent / "remote", tmp_path / "remote")
    count = 0

    def make(change: bool = True):
        nonlocal count
        count += 1
        made = clone(filled[1], tmp_path / f"clone {count}")
        made.run("dvc", "remote", "modify", "team", "url", str(tmp_path / "remote"))
        if change:
            made.change("code.txt", "x", "y")
        return made

    return make


def told(done):
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(unit.TOLD))
    return json.loads(line.removeprefix(unit.TOLD))


def entries(tmp_path):
    return sorted(path.relative_to(tmp_path / "remote/runs") for path in (tmp_path / "remote/runs").rglob("*/*/*"))


def test_what_one_clone_computes_another_restores(team, tmp_path):
    first, before = team(), entries(tmp_path)
    done = first.run(*UNIT, *PART)
    assert ran(done.stdout) == [*PART]
    assert told(done)["restored"] == []
    assert not (first.folder / "models/b").exists()
    assert len(entries(tmp_path)) == len(before) + 2
    second = team()
    done = second.run(*UNIT, *PART)
    assert (ran(done.stdout), told(done)["restored"], told(done)["notes"]) == ([], [*PART], [])
    assert second.bytes_of("models/a") == first.bytes_of("models/a")
    head = team()
    assert set(ran(head.run("dvc", "repro", "--pull").stdout)) == {"train@b", "evaluate@b", "compare", "track"}


def test_a_unit_that_is_started_twice_in_a_clone_runs_once(team):
    made = team()
    made.change(
        "dvc.yaml", "mkdir -p models/${key} metrics/timings;", "sleep 2; mkdir -p models/${key} metrics/timings;"
    )
    both = [
        subprocess.Popen([*UNIT, *PART], cwd=made.folder, env=made.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(ran(one) for one in said) == [[], [*PART]]


def test_what_was_done_before_a_stage_failed_is_shared(team):
    def broken():
        made = team()
        made.change("dvc.yaml", "wc -c < models/${key}/weights", "test -e mended && wc -l < models/${key}/weights")
        return made

    done = broken().run(*UNIT, *PART, check=False)
    assert done.returncode == 2
    assert "error: train@a or what rests on it failed" in done.stderr
    assert "Traceback" not in done.stderr
    second = broken()
    (second.folder / "mended").touch()
    done = second.run(*UNIT, *PART)
    assert (ran(done.stdout), told(done)["restored"]) == (["evaluate@a"], ["train@a"])


def test_two_results_for_one_key_are_told_and_the_first_counts(team, tmp_path):
    def random():
        made = team()
        made.change("dvc.yaml", '{ grep " ${key}: "', '{ date +%s%N; grep " ${key}: "')
        return made

    first, second = random(), random()
    second.run("dvc", "repro", "--pull", "train@a")  # at the same time, so neither knew of the other
    done = first.run(*UNIT, *PART)
    kept = entries(tmp_path)
    done = second.run(*UNIT, *PART)
    (note,) = told(done)["notes"]
    assert note.startswith("train@a: models/a is ")
    assert note.endswith("where it was computed first, which counts")
    assert len(entries(tmp_path)) == len(kept) + 1  # of the evaluation of the second's model
    head = random()
    head.run("dvc", "repro", "--pull", "evaluate@a")
    assert head.bytes_of("models/a") == first.bytes_of("models/a")
    assert head.bytes_of("data/predictions/a") == first.bytes_of("data/predictions/a")


def test_timings_alone_are_no_difference(team):
    def timed():
        made = team()
        made.change("dvc.yaml", '"seconds":7.5', "\"seconds\":'$(date +%s%N)'")
        return made

    first, second = timed(), timed()
    second.run("dvc", "repro", "--pull", "train@a")
    first.run(*UNIT, "train@a")
    assert told(second.run(*UNIT, "train@a"))["notes"] == []


def test_another_clone_goes_on_from_the_checkpoint_of_one_that_was_killed(team, tmp_path):
    """The stage counts to three, a checkpoint each; the first is killed at two."""
    place = "train@${key}-0123456789abcdef"
    count = (
        f"mkdir -p .assay/scratch/{place}/part; c=.assay/scratch/{place}/part/checkpoint.pt; "
        'n=$(cat $c 2>/dev/null || echo 0); echo "from $n"; test $n = 2 || { echo 2 > $c; sleep 60; exit 1; }; '
        f"sleep 2.5; rm -r .assay/scratch/{place}; "
    )

    def counting():
        made = team()
        made.change(
            "dvc.yaml", "mkdir -p models/${key} metrics/timings;", f"{count}mkdir -p models/${{key}} metrics/timings;"
        )
        return made

    first, saved = counting(), tmp_path / "remote/checkpoints/train@a/0123456789abcdef/part/checkpoint.pt"
    process = subprocess.Popen([*UNIT, *PART], cwd=first.folder, env=first.environment, start_new_session=True)
    deadline = time.monotonic() + 60
    while not saved.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert saved.read_text() == "2\n"
    done = counting().run(*UNIT, *PART)
    assert "from 2" in done.stdout
    assert ran(done.stdout) == [*PART]
    assert not saved.exists()


def test_what_the_remote_lacks_is_one_line(team, tmp_path):
    shutil.rmtree(tmp_path / "remote/files")
    done = team().run(*UNIT, *PART, check=False)
    assert done.returncode == 2
    assert "error: data/prepared, which prepare writes: the remote does not have it" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_remote_that_is_another_is_told(team, tmp_path):
    made = team()
    (tmp_path / "remote/checkpoints").mkdir()
    (tmp_path / "remote/checkpoints/head").touch()
    assert made.run(*UNIT, "--reach", "checkpoints/head").returncode == 0
    (tmp_path / "remote/checkpoints/head").unlink()
    done = made.run(*UNIT, "--reach", "checkpoints/head", check=False)
    assert done.returncode == 2
    assert "is not the one that this was started from" in done.stderr
