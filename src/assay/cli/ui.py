"""Open MLflow's UI on what was tracked: `python -m assay.cli.ui`, at the port that PORT names."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

from assay.core.errors import AssayError, one_line_errors
from assay.tracking import location, view
from assay.tracking.store import opened
from stages import track

QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def main() -> None:
    """Track what is new, then become MLflow's server; where the runs are on a server already, say where.

    Raises:
        AssayError: the store cannot be opened, or the port cannot be used.
    """
    with opened(Path.cwd()) as store:
        port = None if store.is_server else usable_port()
    try:
        track.main()
    except AssayError as error:
        print(f"error: {error}\nMLflow shows what was tracked before", file=sys.stderr)
    if port is None:
        print(f"The runs are on this server: {store.shown}")
        return
    file = location.database_file(store.uri)
    beside = ["--artifacts-destination", str(file.parent / location.FOLDER)] if file else []
    command = ["-m", "mlflow", "server", "--workers", "1", "--host", view.HOST, "--port", str(port), *beside]
    print(f"MLflow starts at {view.address()} and ends with Ctrl-C", flush=True)
    environment = {**os.environ, **QUIET, "MLFLOW_BACKEND_STORE_URI": store.uri}
    os.execve(sys.executable, [sys.executable, *command], environment)  # noqa: S606 (no shell is wanted)


def usable_port() -> int:
    """The port that PORT names, 5000 without it.

    Raises:
        AssayError: it is not a port, another program listens there, or this user may not.
    """
    asked = view.port()
    if not asked.isdecimal() or not 1 <= int(asked) <= 65535:
        raise AssayError(f"PORT={asked}: not a port; write a number from 1 to 65535, as in `make ui PORT=5001`")
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            listener.bind((view.HOST, int(asked)))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "another program listens at this port" if taken else error.strerror
        raise AssayError(f"PORT={asked}: {why}; choose another, as in `make ui PORT=5001`") from None
    return int(asked)


if __name__ == "__main__":
    with one_line_errors():
        main()
