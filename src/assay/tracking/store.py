"""Where runs go: the server or database that `MLFLOW_TRACKING_URI` names, reached or refused within seconds."""

from __future__ import annotations

import logging
import os
import platform
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay.foundation.errors import AssayError
from assay.tracking import lock, tags

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URI_VARIABLE = "MLFLOW_TRACKING_URI"
DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
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


@dataclass(frozen=True)
class Store:
    """An open store.

    Attributes:
        root: the repository's root.
        uri: the tracking URI, as MLflow takes it.
        client: MLflow's own client of it.
    """

    root: Path
    uri: str
    client: Any

    @property
    def shown(self) -> str:
        """The URI without its password."""
        return re.sub(r"//[^@/]*@", "//***@", self.uri)

    @property
    def is_server(self) -> bool:
        """Whether it speaks HTTP, and decides for itself where artifacts go."""
        return _is_server(self.uri)

    def experiment(self, name: str) -> str:
        """The id of the experiment of this name, which is created, or restored after a deletion, where needed.

        A database gets its artifacts under `mlartifacts/`; a server decides for itself.
        """
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            location = None if self.is_server else str(self.root / ARTIFACTS)
            about = {tags.NOTE: HOW_TO_READ, tags.EXPERIMENT_KIND: "custom_model_development"}
            try:
                return str(self.client.create_experiment(name, artifact_location=location, tags=about))
            except MlflowException:  # another host was faster, or the name is refused
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)


def identity(root: Path) -> str:
    """Which store the repository at `root` writes to, told apart on all machines; empty for one that is not there.

    A server goes by its address without the password, a database by the machine too. Nothing is asked of either.
    """
    uri = _uri(root)
    if _is_server(uri):
        return Store(root, uri, None).shown
    file = root / uri.removeprefix("sqlite:///")
    return f"{platform.node()}: {file}" if uri.startswith("sqlite:///") and file.is_file() else ""


@contextmanager
def opened(root: Path) -> Iterator[Store]:
    """Open the store of the repository at `root`; a database that is not there yet is created, once.

    Raises:
        AssayError: it cannot be reached, or it fails while it is in use.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    uri = _uri(root)
    store = Store(root, uri, None)
    import mlflow
    import requests
    import sqlalchemy

    _quieten()
    before = os.environ.get(URI_VARIABLE)
    try:
        with warnings.catch_warnings():
            # MLflow warns of itself: of what it calls that SQLAlchemy and pandas will drop, of its own type hints
            warnings.filterwarnings("ignore", module=r"mlflow\.")
            with lock.exclusive(root), _environment(FIRST_REQUEST):
                mlflow.set_tracking_uri(uri)
                store = Store(root, uri, _reached(uri))
            yield store
    except (mlflow.MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError) as error:
        raise AssayError(f"{URI_VARIABLE}={store.shown}: {_reason(error)}; {_advice(uri)}") from None
    finally:
        mlflow.set_tracking_uri(None)
        if before is not None:
            os.environ[URI_VARIABLE] = before


def _uri(root: Path) -> str:
    return os.environ.get(URI_VARIABLE) or f"sqlite:///{root / DATABASE}"


def _reached(uri: str) -> Any:
    """A client that has spoken to its store; several processes that create a database at once would break it."""
    import mlflow
    import sqlalchemy

    if not _is_server(uri) and "://" in uri and not uri.startswith("file:"):
        try:
            engine = sqlalchemy.create_engine(uri)  # MLflow itself would try ten times
        except ModuleNotFoundError as error:
            raise AssayError(f"{URI_VARIABLE}: this kind of database needs {error.name}; pip install it") from None
        sqlalchemy.inspect(engine).get_table_names()
        engine.dispose()
    client = mlflow.MlflowClient(tracking_uri=uri)
    client.search_experiments(max_results=1)
    return client


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://", "databricks"))


def _reason(error: Exception) -> str:
    """The innermost cause that says something, on one line and without the wrappings of retries and pools."""
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    for pattern, meaning in (
        (r"Connection refused", "connection refused"),
        (r"NameResolution|Name or service|getaddrinfo", "no host of this name"),
        (r"timed out|Timeout", "no answer in time"),
    ):
        if re.search(pattern, text):
            return meaning
    return text if len(text) <= 300 else f"{text[:297]}..."


def _advice(uri: str) -> str:
    if _is_server(uri):
        return f"start the server, or unset {URI_VARIABLE} to use {DATABASE} in this repository"
    return "check that it is a database of this MLflow and can be written, or name another"


def _quieten() -> None:
    """Say only what went wrong: MLflow tells of each table it makes, and of each retry."""
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
