"""One file over HTTP, with progress, and with little patience for a server that does not answer."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from assay.data.progress import progress
from assay.foundation.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# torchvision's own helper has no time limit and falls back from https to http; its addresses and checks are used
SECONDS_OF_SILENCE = 10.0
_CHUNK_BYTES = 1 << 16


def fetch(urls: Sequence[str], path: Path) -> None:
    """Download the first of several equal files that arrives whole; the caller checks its bytes.

    Raises:
        AssayError: none does; the line says why, for each.
    """
    reasons = []
    for url in urls:
        try:
            return _fetch(url, path)
        except (OSError, http.client.HTTPException) as error:
            reasons.append(f"{url}: {_reason(error)}")
    raise AssayError("; ".join(reasons))


def _fetch(url: str, path: Path) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "assay"})  # noqa: S310 (torchvision's addresses)
    with urllib.request.urlopen(request, timeout=SECONDS_OF_SILENCE) as response, path.open("wb") as out:  # noqa: S310
        total, received = response.length, 0
        with progress(f"downloading {path.name}", total, "bytes") as advance:
            while chunk := response.read(_CHUNK_BYTES):
                out.write(chunk)
                received += len(chunk)
                advance(len(chunk))
    if total is not None and received < total:  # http.client does not mind when it reads in chunks
        raise http.client.HTTPException(f"truncated: {received} of {total} bytes arrived")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"{error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
