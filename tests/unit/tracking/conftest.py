"""A repository whose results are tracked in a database of its own."""

import shutil
from pathlib import Path

import pytest
from tracking_repository import without_onnx, write_repository

from assay.tracking.store import opened
from assay.tracking.sync import sync


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(autouse=True)
def no_onnx(monkeypatch):
    without_onnx(monkeypatch)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A database that was created once: creating one takes seconds."""
    root = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with opened(root):
            pass
    return root / "mlflow.db"


@pytest.fixture
def root(tmp_path, empty_database):
    """The repository: baseline and the arm `line`, whose second variant is an ensemble of two."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    write_repository(tmp_path)
    return tmp_path


@pytest.fixture
def synced(root):
    """The repository after its first sync."""
    return first_sync(root)


@pytest.fixture(scope="session")
def seen(tmp_path_factory, empty_database):
    """As `synced`, for tests that only look."""
    root = tmp_path_factory.mktemp("seen")
    shutil.copy(empty_database, root / "mlflow.db")
    write_repository(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        without_onnx(patch)
        return first_sync(root)


def first_sync(root: Path) -> Path:
    with opened(root) as store:
        assert sync(store, ["line"]).made == ["baseline", "line", "report"]
    return root
