"""Every way in which a store fails is one line that says what to do, and nothing stands before it."""

import errno
import re
import shutil
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from assay.core.errors import AssayError
from assay.tracking.store import opened

HTML = "<html>\n<h1>Something</h1></html>" * 40
ANSWERS = {
    "401 text": (401, "You are not authenticated."),
    "401 json": (401, '{"error_code": "UNAUTHENTICATED", "message": "who are you"}'),
    "403 text": (403, "Permission denied"),
    "403 json": (403, '{"error_code": "PERMISSION_DENIED", "message": "not yours"}'),
    "404": (404, HTML),
    "500": (500, HTML),
    "500 json": (500, '{"error_code": "INTERNAL_ERROR", "message": "Traceback\\n  File"}'),
    "503": (503, HTML),
    "html": (200, HTML),
    "redirect": (302, ""),
}


class Handler(BaseHTTPRequestHandler):
    """Answers each request as the first part of its path asks."""

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        name = self.path.split("/")[1].replace("%20", " ")
        if name == "hang up":
            self.connection.close()
            return
        status, body = ANSWERS[name]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", self.path)
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST = answer  # noqa: N815 (the base class names them)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()


def line_of(root: Path, uri: str, monkeypatch, capsys) -> str:
    """The one line that opening a store gives, after a check that nothing else is printed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(AssayError) as error, opened(root) as store:
        store.experiment("digits: linear")
    assert capsys.readouterr() == ("", "")
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        *((name, r"\(401\); set MLFLOW_TRACKING_USERNAME and .*TOKEN$") for name in ("401 text", "401 json")),
        *((name, r"\(403\); ask for the right to write") for name in ("403 text", "403 json")),
        ("404", r"no MLflow server at this address \(404\); check the address"),
        *((name, rf"it fails \({name[:3]}\); look at the server's log") for name in ("500", "500 json", "503")),
        ("html", "not the address of an MLflow server; check the address"),
        ("redirect", "redirects without end; check the address"),
        ("hang up", "ends the connection without an answer; check the address"),
    ],
)  # fmt: skip
def test_a_server_that_refuses_or_fails(tmp_path, monkeypatch, capsys, server, answer, advice):
    line = line_of(tmp_path, f"http://user:secret@{server}/{answer.replace(' ', '%20')}", monkeypatch, capsys)
    assert re.search(advice, line), line
    assert "start the server" not in line


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("https://{server}", "does not speak TLS; write http://"),
        ("http://no-such-host.invalid", "no host of this name; check the address"),
        ("http://localhost:99999", "not the address of an MLflow server; check"),
        ("htp://{server}", r"no kind of store has this form; write .*https://.*sqlite:////path"),
        ("mlflow.example.org", r"file stores are in maintenance mode; unset .*https://"),
        ("sqlite://", "names no file; write sqlite:////path"),
        ("sqlite:///:memory:", "names no file; write sqlite:////path"),
    ],
)
def test_an_address_that_is_wrong(tmp_path, monkeypatch, capsys, server, uri, advice):
    line = line_of(tmp_path, uri.format(server=server), monkeypatch, capsys)
    assert re.search(advice, line), line


def version(file, number):
    with sqlite3.connect(file) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", [number])


def cut(file):
    file.write_bytes(file.read_bytes()[:50_000])


@pytest.mark.parametrize(
    ("damage", "advice"),
    [
        (lambda file: version(file, "ffffffffffff"), "another version of MLflow; it was made by a newer MLflow"),
        (lambda file: version(file, "0584bdc529eb"), "another version of MLflow; back it up, .*mlflow db upgrade"),
        (cut, "malformed; name another database"),
        (lambda file: (file.unlink(), file.mkdir()), "unable to open database file; create its folder"),
    ],
)
def test_a_database_that_cannot_be_used(tmp_path, monkeypatch, capsys, empty_database, damage, advice):
    file = tmp_path / "some.db"
    shutil.copy(empty_database, file)
    damage(file)
    line = line_of(tmp_path, f"sqlite:///{file}", monkeypatch, capsys)
    assert re.search(advice, line), line


@pytest.mark.parametrize(
    ("pragma", "advice"),
    [("query_only = 1", "cannot be written; give this user the right"), ("max_page_count = 1", "no space is left")],
)
def test_a_database_that_cannot_be_written(tmp_path, monkeypatch, capsys, empty_database, pragma, advice):
    """SQLite itself is told to refuse, since the superuser may write any file."""
    import sqlalchemy

    file = tmp_path / "some.db"
    shutil.copy(empty_database, file)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")

    def refuse(connection, _):
        connection.execute(f"PRAGMA {pragma}")

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", refuse)
    try:
        with pytest.raises(AssayError, match=advice) as error, opened(tmp_path) as store:
            store.client.set_experiment_tag("0", "long", "x" * 4900)
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "connect", refuse)
    assert capsys.readouterr() == ("", "")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("number", "advice"), [(errno.EACCES, "allow this user"), (errno.ENOSPC, "free some")])
def test_a_file_that_cannot_be_written(tmp_path, empty_database, number, advice):
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    with pytest.raises(AssayError, match=rf"^.*: /some/path; {advice}"), opened(tmp_path):
        raise OSError(number, "the reason", "/some/path")
