import socket
import time

import pytest

from assay.cli import show
from assay.core.errors import AssayError
from assay.tracking.store import identity, opened


@pytest.fixture
def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_an_unreachable_server_is_one_line_within_seconds(tmp_path, monkeypatch, free_port):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port}")
    start = time.monotonic()
    with pytest.raises(AssayError) as error, opened(tmp_path):
        pass
    assert time.monotonic() - start < 10
    assert str(error.value).startswith(
        f"MLFLOW_TRACKING_URI=http://***@127.0.0.1:{free_port}: connection refused; start"
    )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("sqlite:///{root}/absent/a.db", "unable to open database file"),
        ("sqlite:///{root}/text.db", "file is not a database"),
        ("file://{root}/mlruns", "maintenance mode"),
        ("nonsense://x", "nonsense"),
    ],
)
def test_a_store_that_cannot_be_is_one_line(tmp_path, monkeypatch, uri, reason):
    (tmp_path / "text.db").write_text("no database at all, but more than sixteen bytes\n" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(root=tmp_path))
    with pytest.raises(AssayError, match=reason) as error, opened(tmp_path):
        pass
    assert "\n" not in str(error.value)


def test_the_users_own_setting_is_left_as_it_was(tmp_path, monkeypatch, root):
    uri = f"sqlite:///{root / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with opened(tmp_path) as store:
        assert store.uri == uri
    import os

    assert os.environ["MLFLOW_TRACKING_URI"] == uri
    assert not (tmp_path / "absent").exists()


def test_a_server_is_known_by_its_address_and_a_database_by_its_machine_too(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://user:secret@mlflow.team/x")
    assert identity(tmp_path) == "https://***@mlflow.team/x"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert identity(tmp_path) == ""  # it is not there
    (tmp_path / "mlflow.db").touch()
    here = identity(tmp_path)
    assert here.endswith(f": {tmp_path / 'mlflow.db'}")
    monkeypatch.setattr("platform.node", lambda: "another")
    assert identity(tmp_path) != here


def test_a_deleted_experiment_comes_back(root):
    with opened(root) as store:
        first = store.experiment("digits: linear")
        store.client.delete_experiment(first)
        assert store.experiment("digits: linear") == first
        assert store.client.get_experiment(first).lifecycle_stage == "active"


@pytest.mark.parametrize("uri", ["", "sqlite:///mlflow.db"])  # make exports the second
def test_an_experiment_of_dvc_in_a_temporary_folder_uses_the_repositorys_database(tmp_path, monkeypatch, uri):
    temporary = tmp_path / ".dvc/tmp/exps/tmpabc"
    temporary.mkdir(parents=True)
    for folder in (tmp_path, temporary):
        (folder / "mlflow.db").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert identity(temporary).endswith(f": {temporary}/mlflow.db")
    monkeypatch.setenv("DVC_EXP_NAME", "puffy-seal")
    assert identity(temporary).endswith(f": {tmp_path}/mlflow.db")


def test_the_ui_opens_the_database_with_its_artifacts_at_the_port_that_was_asked_for(
    root, monkeypatch, free_port, capsys
):
    started = []
    monkeypatch.chdir(root)
    monkeypatch.setenv("PORT", str(free_port))
    monkeypatch.setattr("os.execve", lambda *arguments: started.append(arguments))
    show.ui()  # there are no results here, which is no reason not to show what was tracked before
    ((_, command, environment),) = started
    assert command[-4:] == ["--port", str(free_port), "--artifacts-destination", str(root / "mlartifacts")]
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{root}/mlflow.db"
    shown = capsys.readouterr()
    assert f"http://127.0.0.1:{free_port}" in shown.out
    assert shown.err.startswith("error: params.yaml: ")
