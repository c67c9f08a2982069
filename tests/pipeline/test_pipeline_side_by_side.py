"""Arms run side by side: all of them, once, as a plain `dvc repro` would, and none after one that failed."""

from __future__ import annotations

import shutil

import pytest
from clone import ran
from shell_pipeline import STAGES, Tiny

from assay.core import runtime
from assay.core.errors import AssayError
from assay.pipeline import dag, side_by_side


@pytest.fixture
def tiny(filled, tmp_path):
    """A copy of the filled repository, with its cache: what a test changes is its own."""
    shutil.copytree(filled[0].folder, tmp_path / "work", symlinks=True)
    return Tiny(tmp_path / "work")


def repro(tiny, jobs: str, check: bool = True):
    return tiny.side_by_side(check=check, ASSAY_JOBS=jobs)


def wait_for_each_other(tiny) -> None:
    """Have the training of each arm wait until the other's has begun."""
    together = "touch ${key}.began; for i in $(seq 300); do test $(ls *.began | wc -l) = 2 && break; sleep 0.1; done; "
    tiny.change(
        "dvc.yaml",
        "mkdir -p models/${key} metrics/timings;",
        f"mkdir -p models/${{key}} metrics/timings; {together}"
        "test $(ls *.began | wc -l) = 2 || exit 1; echo $ASSAY_THREADS $ASSAY_BESIDE > ${key}.env;",
    )


def change_everything(tiny) -> None:
    tiny.change("raw.txt", "2\n", "3\n")


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # of a library of DVC's
def test_units_share_nothing_and_leave_out_what_all_rest_on_or_what_gathers(tiny, monkeypatch):
    monkeypatch.chdir(tiny.folder)
    with dag.opened(tiny.folder) as repo:
        assert side_by_side.units(repo, STAGES) == [["train@a", "evaluate@a"], ["train@b", "evaluate@b"]]
        assert side_by_side.units(repo, ["train@b", "compare"]) == [["train@b"]]


def test_two_arms_run_at_the_same_time_each_on_its_share_of_the_threads(tiny):
    """Each waits for the other to begin, so one after the other would fail."""
    wait_for_each_other(tiny)
    done = repro(tiny, "2")
    assert sorted(ran(done.stdout)) == ["train@a", "train@b"]  # which write what they wrote before
    threads = max(1, runtime.threads() // 2)
    assert {(tiny.folder / f"{arm}.env").read_text() for arm in "ab"} == {f"{threads} 2\n"}
    assert "up to date" in tiny.run("dvc", "status").stdout


def test_so_they_do_in_a_fresh_clone_whose_lock_knows_all_results(tiny):
    wait_for_each_other(tiny)
    repro(tiny, "2")
    tiny.shell("rm -rf .dvc/cache .dvc/tmp data models *.began")
    assert set(ran(repro(tiny, "2").stdout)) == set(STAGES) - {"compare", "track"}
    assert "up to date" in tiny.run("dvc", "status").stdout


def test_what_a_stage_reads_is_fetched_from_the_cache_first(tiny):
    tiny.change("dvc.yaml", "wc -c < models/${key}/weights", "wc -l < models/${key}/weights")
    tiny.shell("rm -rf models data")
    assert set(ran(repro(tiny, "2").stdout)) == {"evaluate@a", "evaluate@b", "compare"}


def test_it_ends_as_one_after_the_other_does(tiny):
    change_everything(tiny)
    done = repro(tiny, "2")
    assert sorted(ran(done.stdout)) == sorted(STAGES)
    lock = (tiny.folder / "dvc.lock").read_text()
    tiny.shell("git checkout -q dvc.lock metrics; rm -rf .dvc/cache .dvc/tmp data models")
    assert sorted(ran(repro(tiny, "1").stdout)) == sorted(STAGES)
    assert (tiny.folder / "dvc.lock").read_text() == lock
    assert ran(repro(tiny, "2").stdout) == []


def test_what_fails_is_named_once_the_others_are_done_and_nothing_follows(tiny):
    tiny.change(
        "dvc.yaml",
        "mkdir -p models/${key} metrics/timings;",
        "test ${key} = b || exit 1; mkdir -p models/${key} metrics/timings;",
    )
    done = repro(tiny, "2", check=False)
    assert done.returncode == 2
    assert "error: train@a or what rests on it failed\nERROR: failed to reproduce 'train@a'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not {"compare", "track"} & set(ran(done.stdout))
    assert (tiny.folder / "models/b/weights").exists()


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # of a library of DVC's
def test_where_nothing_is_to_do_nobody_asks_for_a_gpu(tiny, monkeypatch, capfd):
    monkeypatch.chdir(tiny.folder)
    monkeypatch.setenv("ASSAY_JOBS", "2")
    monkeypatch.setattr(side_by_side, "jobs", lambda: pytest.fail("it loads PyTorch for that"))
    side_by_side.reproduce(tiny.folder)
    assert "up to date" in capfd.readouterr().out


@pytest.mark.parametrize("text", ["0", "two", "-1"])
def test_a_number_of_jobs_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("ASSAY_JOBS", text)
    with pytest.raises(AssayError, match=f"ASSAY_JOBS={text}: give a whole number of jobs, from 1 to 4096"):
        side_by_side.jobs()


def test_by_default_a_cpu_runs_up_to_four_and_a_gpu_one(monkeypatch):
    monkeypatch.delenv("ASSAY_JOBS", raising=False)
    for device, threads, jobs in (("cpu", "1", 1), ("cpu", "3", 3), ("cpu", "64", 4), ("cuda", "64", 1)):
        monkeypatch.setenv("ASSAY_DEVICE", device)
        monkeypatch.setenv("ASSAY_THREADS", threads)
        assert side_by_side.jobs() == jobs
