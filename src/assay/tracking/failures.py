"""What a store's failure means and what to do about it, in one line: MLflow's own messages are made for programmers."""

from __future__ import annotations

import re
from pathlib import Path

from assay.core.errors import AssayError

URI_VARIABLE = "MLFLOW_TRACKING_URI"
CREDENTIALS = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
LONGEST = 300
STATUS = re.compile(r"error code (\d{3})|too many (\d{3}) error|\b(\d{3}) (?:Client|Server) Error")
FORMS = "write the address of a server (https://...) or of a database (sqlite:////path/mlflow.db)"
OTHER_ADDRESS = "check the address"
OTHER_DATABASE = f"name another database in {URI_VARIABLE}, or move this one away and `make track` creates it anew"
START = f"start the server, or unset {URI_VARIABLE} to use mlflow.db in this repository"
NEWER = "it was made by a newer MLflow: run `make install` in an up-to-date clone, or name another database"
OTHER_SCHEMA = "its schema is that of another version of MLflow"

# (pattern, meaning, what to do); the first that matches counts. None as a meaning keeps the original words. An HTTP
# status, where there is one, stands before the words, as in `HTTP 404: `.
SERVER = (
    (r"certificate verify failed", "its TLS certificate is not trusted",
     "set MLFLOW_TRACKING_SERVER_CERT_PATH to the certificate of its authority"),
    (r"WRONG_VERSION_NUMBER|wrong version number|record layer failure", "it does not speak TLS",
     "write http:// in place of https://"),
    (r"SSLError|SSL:", "the TLS connection fails", OTHER_ADDRESS),
    (r"Connection refused", "connection refused", START),
    (r"NameResolution|Name or service|getaddrinfo", "no host of this name", f"{OTHER_ADDRESS} and the network"),
    (r"timed out|Timeout", "no answer in time", START),
    (r"Exceeded \d+ redirects|TooManyRedirects", "it redirects without end", OTHER_ADDRESS),
    (r"valid JSON format|[Ii]nvalid ?([Uu]rl|URL|Schema)|Failed to parse|No host supplied|label (empty|too long)",
     "this is not the address of an MLflow server", OTHER_ADDRESS),
    (r"Connection aborted|Connection reset|RemoteDisconnected|BadStatusLine",
     "it ends the connection without an answer", OTHER_ADDRESS),
    (r"^HTTP 401", "it asks for other credentials (401)", f"set {CREDENTIALS}"),
    (r"^HTTP 403", "it does not permit this (403)",
     f"ask for the right to write, or use another account: {CREDENTIALS}"),
    (r"^HTTP 404", "there is no MLflow server at this address (404)", f"{OTHER_ADDRESS}, with its path"),
    (r"^HTTP 429", "it refuses so many requests (429)", "run it again later"),
    (r"^HTTP [5-9]", "it fails ({status})", "look at the server's log, or run it again later"),
    (r"^HTTP", None, OTHER_ADDRESS),
    (r"", None, "check that it is an MLflow server of this version, and run it again"),
)  # fmt: skip
DATABASE = (
    (r"schema of a known version", OTHER_SCHEMA, "back it up, then run `mlflow db upgrade` on it"),
    (r"database schema \(found version", OTHER_SCHEMA, NEWER),
    (r"readonly database|read-only", "it cannot be written",
     "give this user the right to write the database and its folder"),
    (r"disk is full|No space left", "no space is left on its disk", "make space and run it again"),
    (r"database is locked", "another process holds it", "wait until that has ended, and run it again"),
    (r"unable to open database file", "unable to open database file",
     "create its folder, and give this user the right to read and write both"),
    (r"file is not a database|malformed", None, OTHER_DATABASE),
    (r"no such (column|table)|already exists", "it is not a database of MLflow, or a damaged one", OTHER_DATABASE),
    (r"Can't locate revision", "its schema is not known here", NEWER),
    (r"Can't load plugin|Could not parse", "no kind of store has this form", FORMS),
    (r"maintenance mode|file store", "file stores are in maintenance mode", f"unset {URI_VARIABLE}, or {FORMS}"),
    (r"Connection refused|could not (connect|translate)|Can't connect|timed out|Timeout", None,
     "start the database, or check the address"),
    (r"authentication failed|Access denied", None, f"check user and password in {URI_VARIABLE}"),
    (r"", None, "check that it is a database of this MLflow and can be written, or name another"),
)  # fmt: skip


def failure(shown: str, error: Exception, *, is_server: bool) -> AssayError:
    """The error that a user gets to see.

    Args:
        shown: the tracking URI without its password.
        error: what MLflow, or a library under it, raised.
        is_server: whether the store speaks HTTP.
    """
    text = searched = " ".join(str(getattr(error, "orig", None) or error).split())
    status = str(getattr(error, "get_http_status_code", int)())
    if status not in ("401", "403"):  # of these a server may tell in words alone
        found = STATUS.search(text)
        status = next(filter(None, found.groups())) if found else ""
    if status:
        searched = f"HTTP {status}: {text}"
    if schema := re.search(r"database schema \(found version (\w+)", text):
        import mlflow.store

        migrations = Path(mlflow.store.__path__[0]) / "db_migrations/versions"
        searched = "schema of a known version" if any(migrations.glob(f"{schema[1]}_*.py")) else text
    rows = SERVER if is_server else DATABASE
    meaning, advice = next(row[1:] for row in rows if re.search(row[0], searched))
    short = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
    return AssayError(f"{URI_VARIABLE}={shown}: {meaning.format(status=status) if meaning else short}; {advice}")
