"""Where runs go: the server or database that `MLFLOW_TRACKING_URI` names, reached or refused within seconds."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
import re
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.errors import AssayError, described
from assay.tracking import failures, location, tags
from assay.tracking.failures import URI_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE = "mlflow.db"
SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///)((?!:memory:)[^?]+)(.*)")
LOCK_FILE = Path(".assay/track.lock")
# Each may be set otherwise by the user. Unless told, MLflow retries for minutes, reports its use to its makers, and
# prints two lines a run.
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
FIRST_REQUEST = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
HOW_TO_READ = """\
One run an arm, each with the mean test scores of its seeds; `report` compares them all and gives the verdicts.

- The results that count now: search for ``tags.`assay.current` = 'true'``. Other runs are history.
- `test_accuracy` is that of the first of an arm's variants, `test_accuracy.<variant>` that of another.
- Columns worth a look: press *Views*, then *Results*.
- Models: one for each variant, from raw uint8 images to probabilities. The best by validation is registered, under the
  alias `champion`.
"""
HOST, VIEW, SHARE = "127.0.0.1", "Results", "results"
# what its table of runs shows in that view, in MLflow's order; by itself MLflow shows no metric
METRICS = ("difference", "members", "test_accuracy", "test_accuracy_std", "test_nll", "train_samples")
STATE = {
    "searchFilter": tags.filter_of(tags.CURRENT, "true"),
    "orderByKey": "metrics.`test_accuracy`",
    "orderByAsc": False,
    "lifecycleFilter": "Active",
    "selectedColumns": [*(f"metrics.`{name}`" for name in METRICS), "params.`method`", "tags.`verdict`"],
}


@dataclass(frozen=True)
class Store:
    """An open store."""

    root: Path  # the folder with the results that are tracked
    uri: str  # the tracking URI, as MLflow takes it
    client: Any  # MLflow's own client of it
    home: Path  # the repository's root, with the default database and the lock; not `root` in an experiment of DVC
    dvc_experiment: str = ""  # the name of that experiment; empty where the results are those of the workspace

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database; None for every other store."""
        found = SQLITE.fullmatch(self.uri)
        return Path(found[2]) if found else None

    @property
    def shown(self) -> str:
        """The URI without its password."""
        return re.sub(r"//[^@/]*@", "//***@", self.uri)

    @property
    def is_server(self) -> bool:
        """Whether it speaks HTTP, and decides for itself where artifacts go."""
        return self.uri.startswith(("http://", "https://", "databricks"))

    @property
    def current(self) -> str:
        """The value of the tag `assay.current` for a new run: only the workspace's results are current."""
        return "false" if self.dvc_experiment else "true"

    def experiment(self, name: str) -> str:
        """The id of the experiment of this name, which is created, or restored after a deletion, where needed.

        MLflow keeps the view `Results` of its runs as a tag; a version that does not know it shows its own columns.

        Raises:
            AssayError: its artifacts cannot be written from here.
        """
        from mlflow.exceptions import MlflowException

        client = self.client
        if created := client.get_experiment_by_name(name) is None:
            place = location.of_new_experiment(self)
            about = {tags.NOTE: HOW_TO_READ, tags.EXPERIMENT_KIND: "custom_model_development"}
            try:
                client.create_experiment(name, artifact_location=place, tags=about)
            except MlflowException:  # another host was faster, or the name is refused
                if client.get_experiment_by_name(name) is None:
                    raise
        found = client.get_experiment_by_name(name)
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        location.require(self, name, found.artifact_location, created=created)
        when = found.creation_time or 0
        view = json.dumps({"name": VIEW, "createdAt": when, "updatedAt": when, "state": json.dumps(STATE)})
        if found.tags.get(tags.SAVED_VIEW + SHARE) != view:
            client.set_experiment_tag(found.experiment_id, tags.SAVED_VIEW + SHARE, view)
        return str(found.experiment_id)


def port() -> str:
    """The port at which `make ui` opens MLflow's pages: that of the variable PORT, or 5000."""
    return os.environ.get("PORT") or "5000"


def address() -> str:
    """Where `make ui` opens MLflow's pages."""
    return f"http://{HOST}:{port()}"


def identity(root: Path) -> str:
    """Which store the repository at `root` writes to, told apart on all machines; empty for one that is not there.

    A server goes by its address without the password, a database by the machine too. Nothing is asked of either.
    """
    store = _unopened(root)
    if store.is_server:
        return store.shown
    return f"{platform.node()}: {store.file}" if store.file and store.file.is_file() else ""


@contextmanager
def opened(root: Path) -> Iterator[Store]:
    """Open the store of the repository at `root`; a database that is not there yet is created, once.

    Raises:
        AssayError: it cannot be reached, or it fails while it is in use.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    store = _unopened(root)
    if store.uri.startswith("sqlite") and store.file is None:
        raise AssayError(f"{URI_VARIABLE}={store.uri}: names no file; write sqlite:////path/mlflow.db")
    import alembic.util
    import mlflow
    import requests
    import sqlalchemy

    # MLflow tells of each table it makes and of each retry, and of an error, which is raised too, its whole traceback
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    before = os.environ.get(URI_VARIABLE)
    try:
        with warnings.catch_warnings():
            # MLflow warns of itself: of what it calls that SQLAlchemy and pandas will drop, of its own type hints
            warnings.filterwarnings("ignore", module=r"mlflow\.")
            mlflow.set_tracking_uri(store.uri)
            with exclusive(store.home), _environment(FIRST_REQUEST):
                store = replace(store, client=_reached(store))
            yield store
    except (
        mlflow.MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError, alembic.util.CommandError
    ) as error:  # fmt: skip
        raise failures.failure(store.shown, error, is_server=store.is_server) from None
    except ModuleNotFoundError as error:
        raise AssayError(f"{URI_VARIABLE}: this kind of store needs {error.name}; pip install it") from None
    except OSError as error:
        raise AssayError(described(error)) from None
    finally:
        mlflow.set_tracking_uri(None)
        if before is not None:
            os.environ[URI_VARIABLE] = before


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the tracker's lock of the repository at `root`: others wait, and a process that dies lets go of it."""
    path = root / LOCK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another process that tracks this repository", file=sys.stderr)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _unopened(root: Path) -> Store:
    """The store of the repository at `root`, of which nothing has been asked yet.

    DVC runs some experiments in a clone under `.dvc/tmp`, which it deletes afterwards. The stages then find the
    repository in DVC_ROOT and the experiment's name in DVC_EXP_NAME.
    """
    home, name = Path(os.environ.get("DVC_ROOT") or root), os.environ.get("DVC_EXP_NAME", "")
    if not name or not (home / ".dvc").is_dir() or home.resolve() == root.resolve():
        home, name = root, ""
    uri = os.environ.get(URI_VARIABLE) or f"sqlite:///{DATABASE}"
    return Store(root, SQLITE.sub(lambda found: f"{found[1]}{home / found[2]}{found[3]}", uri), None, home, name)


def _reached(store: Store) -> Any:
    """A client that has spoken to its store; several processes that create a database at once would break it."""
    import mlflow
    import sqlalchemy

    uri, engine = store.uri, None
    if not store.is_server and "://" in uri and not uri.startswith("file:"):
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
        sqlalchemy.inspect(engine).get_table_names()  # MLflow itself would try ten times
    client = mlflow.MlflowClient(tracking_uri=uri)
    client.search_experiments(max_results=1)
    if engine and store.file:
        location.follow_the_database(engine, store.file)
    return client


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ[name] for name in values if name in os.environ}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
