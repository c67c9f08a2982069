"""The pull request that CI writes to, by PyGithub: one comment, and the verdict on a commit."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTEXT = "assay/claims"
TIMEOUT_SECONDS = 30
REMEDIES = {
    401: "GITHUB_TOKEN is not valid, or has expired; run the job again",
    403: "the job needs the permissions pull-requests: write and statuses: write",
    404: "GITHUB_TOKEN cannot see this repository or pull request; check the job's permissions",
    429: "GitHub's rate limit is used up, run the job again later",
}


@dataclass(frozen=True)
class PullRequest:
    """A pull request, as GitHub's runners describe it in the environment."""

    api: str  # the address of the API
    pages: str  # the address of the pages
    repository: str  # `owner/name`
    number: int
    token: str  # the job's own
    job: str = ""  # the id of the workflow's run; empty where it is not known

    def comment(self, marker: str, body: str) -> str:
        """Rewrite the comment that holds `marker`, or create it; gives its address.

        Raises:
            AssayError: GitHub refuses, or does not answer.
        """
        with self._repository() as repository:
            issue = repository.get_issue(self.number)
            found = next((one for one in issue.get_comments() if marker in (one.body or "")), None)
            if found is not None:
                found.edit(body)
            return str((found or issue.create_comment(body)).html_url)

    def status(self, commit: str, passed: bool, description: str) -> None:
        """Put the verdict on a commit: a bot's commit starts no workflow, so nothing else does; errors as above."""
        with self._repository() as repository:
            state = "success" if passed else "failure"
            repository.get_commit(commit).create_status(state, description=description[:140], context=CONTEXT)

    @contextmanager
    def _repository(self) -> Iterator[Any]:
        """The repository, loaded when something of it is asked for; errors become one line."""
        from github import Auth, Github, GithubException, RateLimitExceededException

        hub = Github(
            auth=Auth.Token(self.token), base_url=self.api, timeout=TIMEOUT_SECONDS, retry=None, per_page=100, lazy=True
        )
        try:
            yield hub.get_repo(self.repository)
        except GithubException as error:
            limited = isinstance(error, RateLimitExceededException)
            remedy = REMEDIES.get(429 if limited else error.status, "GitHub did not do it; run the job again")
            message = " ".join((error.message or type(error).__name__).split())
            raise AssayError(f"{self.api}: {error.status} {message}; {remedy}") from None
        except Exception as error:  # of the network, or whatever a body leads to that is no answer of GitHub's
            raise AssayError(f"{self.api}: {type(error).__name__}; GitHub does not answer, run the job again") from None
        finally:
            hub.close()


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
        job=os.environ.get("GITHUB_RUN_ID", ""),
    )


def append(variable: str, text: str) -> None:
    """Append a line to the file that an environment variable of GitHub's runners names; elsewhere do nothing.

    It is `GITHUB_STEP_SUMMARY` (Markdown on the page of the run) or `GITHUB_OUTPUT` (`name=value`, for later jobs).
    """
    if path := os.environ.get(variable):
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
