"""GitHub's refusals, one line each."""

from __future__ import annotations

import pytest
import requests

from assay.core.errors import AssayError
from assay.review import github


class Answer(requests.Response):
    def __init__(self, status: int, reason: str, body: bytes = b"{}", **headers: str) -> None:
        super().__init__()
        self.status_code, self.reason, self._content = status, reason, body
        self.headers.update({key.replace("_", "-"): value for key, value in headers.items()})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(403, "Forbidden"), "403 Forbidden; the job needs the permissions pull-requests: write"),
        (
            Answer(403, "Forbidden", b'{"message": "API rate\\nlimit exceeded"}', x_ratelimit_remaining="0"),
            "403 Forbidden: API rate limit exceeded; GitHub's rate limit is used up, run the job again within an hour",
        ),
        (Answer(403, "Forbidden", retry_after="60"), "rate limit is used up, run the job again in 60 s"),
        (Answer(429, "Too Many Requests"), "rate limit is used up"),
        (Answer(404, "Not Found"), "404 Not Found; GITHUB_TOKEN cannot see this repository or pull request"),
        (Answer(401, "Unauthorized", b"[]"), "401 Unauthorized; GITHUB_TOKEN is not valid"),
        (Answer(422, "Unprocessable Entity", b'{"message": "too long"}'), "422 Unprocessable Entity: too long; "),
        (Answer(502, "Bad Gateway", b"<html>"), "502 Bad Gateway; GitHub did not do it; run the job again"),
        (Answer(200, "OK", b"<html>"), "200 OK; GitHub did not do it; run the job again"),
    ],
)
def test_what_github_refuses_is_one_line(monkeypatch, answer, message):
    monkeypatch.setattr(requests, "request", lambda *arguments, **options: answer)
    request = github.PullRequest("https://api", "https://pages", "team/assay", 7, "secret")
    with pytest.raises(AssayError) as caught:
        request.comment("m", "body")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
