"""GitHub's refusals, one line each, from a server that gives nothing else."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from assay.core.errors import AssayError
from assay.review import github


@pytest.fixture
def ask():
    """Ask a server that gives one answer to everything; gives the error's line."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = self.server.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def line(status: int, body: bytes = b"{}") -> str:
        server.answer = status, body
        request = github.PullRequest(f"http://127.0.0.1:{server.server_port}", "https://pages", "a/b", 7, "secret")
        with pytest.raises(AssayError) as caught:
            request.comment("m", "body")
        return str(caught.value)

    yield line
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (403, b"{}", "403 GithubException; the job needs the permissions pull-requests: write"),
        (403, b'{"message": "API rate\\nlimit exceeded"}', "403 API rate limit exceeded; the job needs"),
        (403, b'{"message": "API rate limit exceeded"}', "rate limit is used up"),
        (429, b"", "rate limit is used up"),
        (404, b'{"message": "Not Found"}', "404 UnknownObjectException; GITHUB_TOKEN cannot see this repository"),
        (401, b'{"message": "Bad credentials"}', "GITHUB_TOKEN is not valid"),
        (422, b'{"message": "too long"}', "422 too long; "),
        (502, b"<html>", "GitHub did not do it; run the job again"),
        (200, b"<html>", "GitHub does not answer, run the job again"),
        (200, b"[{", "GitHub does not answer, run the job again"),
    ],
)
def test_what_github_refuses_is_one_line(ask, status, body, message):
    line = ask(status, body)
    assert message in line
    assert "\n" not in line
    assert "secret" not in line


def test_a_server_that_does_not_answer_is_one_line():
    request = github.PullRequest("http://127.0.0.1:9", "https://pages", "a/b", 7, "secret")
    with pytest.raises(AssayError, match=r"^http://127.0.0.1:9: ConnectionError; GitHub does not answer"):
        request.status("0" * 40, passed=True, description="fine")
