"""GitHub, as far as CI speaks to it: one comment on a pull request, and the verdict on a commit."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTEXT = "assay/claims"
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class PullRequest:
    """Where to write, as GitHub's runners tell it in the environment.

    Attributes:
        api: the address of the API.
        pages: the address of the pages.
        repository: `owner/name`.
        number: of the pull request.
        token: the job's own.
    """

    api: str
    pages: str
    repository: str
    number: int
    token: str

    def comment(self, marker: str, body: str) -> str:
        """Write the comment that holds `marker` anew, or make it; gives its address.

        Raises:
            AssayError: GitHub refuses, or does not answer.
        """
        found = next((one for one in self._comments() if marker in (one.get("body") or "")), None)
        if found is None:
            made = self._ask("POST", f"issues/{self.number}/comments", {"body": body})
        else:
            made = self._ask("PATCH", f"issues/comments/{found['id']}", {"body": body})
        return str(made["html_url"])

    def status(self, commit: str, passed: bool, description: str) -> None:
        """Put the verdict on a commit: that of a bot starts no workflow, so nothing else would check it.

        Raises:
            AssayError: as `comment`.
        """
        state = "success" if passed else "failure"
        content = {"state": state, "context": CONTEXT, "description": description[:140]}
        self._ask("POST", f"statuses/{commit}", content)

    def _comments(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        page = 1
        while True:
            part = self._ask("GET", f"issues/{self.number}/comments?per_page=100&page={page}")
            found += part
            if len(part) < 100:
                return found
            page += 1

    def _ask(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> Any:
        import requests

        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json"}
        try:
            answer = requests.request(
                method,
                f"{self.api}/repos/{self.repository}/{path}",
                headers=headers,
                json=content,
                timeout=TIMEOUT_SECONDS,
            )
        except requests.RequestException as error:
            raise AssayError(f"{self.api}: {type(error).__name__}; GitHub does not answer, run the job again") from None
        try:
            said = answer.json()
        except ValueError:
            said = None
        if answer.ok and said is not None:
            return said
        message = " ".join(str(said.get("message", "")).split()) if isinstance(said, dict) else ""
        reason = f"{answer.reason}: {message}" if message else answer.reason
        raise AssayError(f"{self.api}: {method} {path}: {answer.status_code} {reason}; {_remedy(answer)}")


def _remedy(answer: Any) -> str:
    """What to do about an answer that refuses the request."""
    limited = answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
    if answer.status_code == 429 or (answer.status_code == 403 and limited):
        seconds = answer.headers.get("retry-after")
        wait = f"in {seconds} s" if seconds else "within an hour"
        return f"GitHub's rate limit is used up, run the job again {wait}"
    return {
        401: "GITHUB_TOKEN is not valid, or has expired; run the job again",
        403: "the job needs the permissions pull-requests: write and statuses: write",
        404: "GITHUB_TOKEN cannot see this repository or pull request; check the job's permissions",
    }.get(answer.status_code, "GitHub did not do it; run the job again")


def from_environment() -> PullRequest | None:
    """The pull request that this job belongs to; None outside of GitHub's runners, or without a token."""
    token, event = os.environ.get("GITHUB_TOKEN"), os.environ.get("GITHUB_EVENT_PATH")
    if not token or not event or not Path(event).is_file():
        return None
    number = json.loads(Path(event).read_text(encoding="utf-8")).get("pull_request", {}).get("number")
    if number is None:
        return None
    return PullRequest(
        api=os.environ.get("GITHUB_API_URL", "https://api.github.com"),
        pages=os.environ.get("GITHUB_SERVER_URL", "https://github.com"),
        repository=os.environ["GITHUB_REPOSITORY"],
        number=int(number),
        token=token,
    )


def summarise(text: str) -> None:
    """Show Markdown on the page of the workflow's run; outside of GitHub's runners, do nothing."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")


def put_out(name: str, value: str) -> None:
    """Hand a value to later jobs; outside of GitHub's runners, do nothing."""
    path = os.environ.get("GITHUB_OUTPUT")
    if path:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(f"{name}={value}\n")
