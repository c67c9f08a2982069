"""Whether the last run's `track` holds for what is here now: CI fetches nothing and writes nothing where it does."""

from __future__ import annotations

import pytest

from assay.pipeline import dvc

SERVER = "https://mlflow.team"


@pytest.fixture
def left(tmp_path):
    """What a run leaves: `.assay/ci/done.json`, by the stages that ran and the store they wrote to."""

    def write(ran, store=SERVER):
        (tmp_path / "dvc.lock").write_text("stages: {}\n")
        dvc.write_done(tmp_path, dvc.Done(ran=ran), 1.0, store)
        return tmp_path

    return write


def test_it_holds_for_the_same_store_and_the_same_results(left):
    root = left(["compare", "track"])
    assert dvc.is_tracked(root, SERVER)
    assert not dvc.is_tracked(root, "https://mlflow.others")
    assert not dvc.is_tracked(root, "")
    (root / "dvc.lock").write_text("stages: {other: {}}\n")
    assert not dvc.is_tracked(root, SERVER)


def test_it_does_not_hold_where_track_did_not_run_or_nothing_is_known(left, tmp_path):
    assert not dvc.is_tracked(tmp_path, SERVER)
    assert not dvc.is_tracked(left(["compare"]), SERVER)
    assert not dvc.is_tracked(left(["compare", "track"], store=""), "")
