"""Where a reader of the comment finds what it only mentions: the report, its charts, the tracked runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.review.github import PullRequest

REPORT = Path("metrics/report/report.md")


@dataclass(frozen=True)
class Files:
    """The repository's files as links: to their pages on GitHub, or, without a pull request, their paths.

    Attributes:
        request: where the comment will stand.
        commit: at which the files are shown.
    """

    request: PullRequest | None
    commit: str

    def link(self, path: Path, raw: bool = False) -> str:
        """To a file's page, or (`raw`) to its bytes, as a picture needs."""
        if self.request is None:
            return str(path)
        page = f"{self.request.pages}/{self.request.repository}/blob/{self.commit}/{path}"
        return f"{page}?raw=true" if raw else page

    def plots(self, root: Path) -> list[tuple[str, str]]:
        """Title and link of each chart in the report."""
        path = root / REPORT
        found = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", path.read_text(encoding="utf-8")) if path.is_file() else []
        return [(title, self.link(REPORT.parent / file, raw=True)) for title, file in found]


def server(uri: str) -> str:
    """The tracking server's address without its password; empty for a database that only this machine has."""
    return re.sub(r"//[^@/]*@", "//", uri) if uri.startswith("http") else ""
