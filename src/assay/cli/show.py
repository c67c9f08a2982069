"""Commands that show something: `assay ui`, `follow`, `experiments`, `report` and `models`."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import socket
import subprocess
import sys
from itertools import zip_longest
from math import prod
from pathlib import Path

from assay.core.errors import AssayError
from assay.tracking import location
from assay.tracking.store import HOST, address, opened, port

QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
ACCURACY = re.compile(r"(?:metrics/metrics\.json:)?(.+)\.test_accuracy")
DROP = r"Created|.*\.test_(?!accuracy$)\w+$|.*training_cost$|(src|stages|data|models|benchmarks)(/|$)|metrics/[^:]*$"
COMMAND = (sys.executable, "-m", "dvc", "exp", "show", "--only-changed", "--csv", "--precision", "5", "--drop", DROP)


def ui() -> None:
    """Track what is new, then become MLflow's server; where the runs are on a server already, say where."""
    from stages import track

    with opened(Path.cwd()) as store:
        own = None if store.is_server else usable_port()
    try:
        track.main()
    except AssayError as error:
        print(f"error: {error}\nMLflow shows what was tracked before", file=sys.stderr)
    if own is None:
        print(f"The runs are on this server: {store.shown}")
        return
    beside = ["--artifacts-destination", str(store.file.parent / location.FOLDER)] if store.file else []
    command = ["-m", "mlflow", "server", "--workers", "1", "--host", HOST, "--port", str(own), *beside]
    print(f"MLflow starts at {address()} and ends with Ctrl-C", flush=True)
    environment = {**os.environ, **QUIET, "MLFLOW_BACKEND_STORE_URI": store.uri}
    os.execve(sys.executable, [sys.executable, *command], environment)  # noqa: S606 (no shell is wanted)


def usable_port() -> int:
    """The port that PORT names, 5000 without it.

    Raises:
        AssayError: it is not a port, another program listens there, or this user may not.
    """
    asked = port()
    if not asked.isdecimal() or not 1 <= int(asked) <= 65535:
        raise AssayError(f"PORT={asked}: not a port; write a number from 1 to 65535, as in `make ui PORT=5001`")
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            listener.bind((HOST, int(asked)))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "another program listens at this port" if taken else error.strerror
        raise AssayError(f"PORT={asked}: {why}; choose another, as in `make ui PORT=5001`") from None
    return int(asked)


def experiments() -> None:
    """Compare what `dvc exp run` made, in a table that fits a screen."""
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssayError(f"dvc exp show failed: {' '.join(done.stderr.split())}")
    print(table(done.stdout))


def table(text: str) -> str:
    """What `dvc exp show --csv` printed, turned round: a column for each experiment, a line for each value.

    `dvc exp show` has a column for every number and every dependency of every arm.
    """
    names, *rows = csv.reader(io.StringIO(text))
    lines = [["", *(row[0] or row[1] for row in rows)]]  # an experiment's name, or the revision it began with
    for place, name in enumerate(names[3:], 3):
        lines.append([ACCURACY.sub(r"\1: test accuracy", name), *(row[place] for row in rows)])
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def report(fail_on: str | None) -> int:
    """Write the report anew; the exit code is 1 where a claim has the verdict `fail_on`."""
    from stages import compare

    failed = [claim.id for claim in compare.main() if claim.verdict == fail_on]
    for name in failed:
        print(f"{fail_on}: {name}", file=sys.stderr)
    return int(bool(failed))


def follow(interval: float, grace: float) -> None:
    """Stream the curves of the trainings that are going on to MLflow."""
    from assay.core import config
    from assay.tracking import follow, records, sync

    model = config.load().model
    with opened(Path.cwd()) as store:
        name = sync.experiment_name(records.read_meta(store.root).name, model.name)
        print(f"{name}: waiting for a training, at most {grace:g} s, in {store.shown}")
        follow.follow(store, name, interval, grace)


def networks() -> None:
    """Print the table of docs/models.md, a row for each model but the user's own, and each of its examples."""
    from assay import models
    from assay.data.sets.images import Images
    from assay.models import fitting

    data_sets = {"MNIST": Images(1, 28, 28, 10), "CIFAR-10": Images(3, 32, 32, 10)}
    header = ["name", "arguments", *(f"{data}: weights / parameters" for data in data_sets), "smallest side", "source"]
    rows, examples = [header, ["---"] * len(header)], models.literals("EXAMPLES")
    for stem, sources in models.literals("MODELS").items():
        for name, source in sources.items() if models.YOUR_OWN not in sources.values() else ():
            for arguments in examples.get(stem, {}).get(name, [{}]):
                given = ", ".join(f"{key}: {str(value).lower()}" for key, value in arguments.items())
                counts = []
                for images in data_sets.values():
                    network = models.blueprint(name, images, arguments)
                    shapes = network.state_dict()
                    weights = sum(prod(shapes[weight].shape) for weight in models.weight_names(network))
                    counts.append(f"{weights:,} / {models.parameter_count(network):,}")
                side = fitting.smallest_side(name, data_sets["CIFAR-10"], arguments)
                rows.append([f"`{name}`", f"`{given}`" if given else "", *counts, str(side), source])
    print("\n".join("| " + " | ".join(cells) + " |" for cells in rows))
