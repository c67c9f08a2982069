"""Where artifacts go. MLflow records absolute paths, so those in a SQLite database are updated once it has moved."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from assay.core import files
from assay.core.errors import AssayError

if TYPE_CHECKING:
    from assay.tracking.store import Store

FOLDER = "mlartifacts"  # beside a SQLite database, so that both are moved, copied, shared and deleted together
ROOT_VARIABLE = "MLFLOW_DEFAULT_ARTIFACT_ROOT"
COLUMNS = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
LOCAL_HOST = re.compile(r"https?://([^@/]*@)?(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:|/|$)")


def local_path(location: str) -> Path | None:
    """The folder that an artifact location names; None where it is not on a file system."""
    scheme = urlsplit(location).scheme
    return Path(url2pathname(location.removeprefix("file://"))) if scheme in ("", "file") else None


def of_new_experiment(store: Store) -> str | None:
    """The artifact location for a new experiment: beside a SQLite database; None where the server decides.

    Raises:
        AssayError: a database of another kind, and MLFLOW_DEFAULT_ARTIFACT_ROOT is not set.
    """
    if store.is_server:
        return None
    if store.file is not None:
        return str(store.file.parent / FOLDER)
    root = os.environ.get(ROOT_VARIABLE)
    if not root:
        raise AssayError(
            f"{ROOT_VARIABLE}: not set, and {store.shown} does not say where artifacts go; "
            "set it to a folder that everybody who uses this database can reach, or to an address such as s3://bucket/path"
        )
    return root if urlsplit(root).scheme else str(store.home / root)


def require(store: Store, name: str, location: str, *, created: bool) -> None:
    """Check that the artifacts of the experiment `name` can be written from here; one just created needs no folder yet.

    MLflow would create a folder that does not exist, such as that of the machine or clone that the experiment is from.

    Raises:
        AssayError: the location is a folder of another machine, or is reached through a server only.
    """
    folder = local_path(location)
    if folder is None:
        if urlsplit(location).scheme == "mlflow-artifacts" and not store.is_server:
            raise AssayError(
                f"experiment `{name}`: an MLflow server keeps its artifacts ({location}); "
                "set MLFLOW_TRACKING_URI to the address of that server"
            )
        return
    is_here = not store.is_server or LOCAL_HOST.match(store.uri)
    expected = (created and is_here) or (store.file and folder == store.file.parent / FOLDER)
    if not folder.is_dir() and not expected:
        raise AssayError(
            f"experiment `{name}`: its artifacts are in the folder {folder}, which does not exist here; "
            "make it available at this path, or rename the experiment in MLflow to have a new one created"
        )


def follow_the_database(engine: Any, file: Path) -> None:
    """Update the locations of artifacts in a SQLite database that was moved or copied, or that several clones share.

    Experiments created here have the location `<folder>/mlartifacts`. Where that is not the folder beside the database,
    their artifacts are looked up there from now on, and those that are only at the old place are copied. Other
    locations are left alone: somebody chose them. `engine` is SQLAlchemy's.
    """
    import sqlalchemy

    home = file.parent / FOLDER
    with engine.begin() as connection:
        query = sqlalchemy.text("SELECT DISTINCT artifact_location FROM experiments")
        for (location,) in connection.execute(query).fetchall():
            old = local_path(location or "s3:")
            if old is None or old.name != FOLDER or os.path.realpath(old) == os.path.realpath(home):
                continue
            moved, start = 0, len(location) + 1
            for table, name in COLUMNS.items():
                column: Any = sqlalchemy.column(name)
                rows = sqlalchemy.table(table, column)
                below = sqlalchemy.func.substr(column, 1, start) == f"{location}/"
                own = sqlalchemy.or_(column == location, below)
                for uri in connection.scalars(sqlalchemy.select(column).select_from(rows).where(own)).all():
                    moved += table == "runs"
                    folder = url2pathname(uri[start:])  # of a run or a model; it may be lost
                    if folder and os.access(old / folder, os.R_OK) and not (home / folder).exists():
                        with files.replacing(home / folder) as temporary:
                            shutil.copytree(old / folder, temporary)
                value = str(home) + sqlalchemy.func.substr(column, start)
                connection.execute(sqlalchemy.update(rows).where(own).values({name: value}))
            print(f"The artifacts of {moved} runs are now in {home}, no longer in {old}", file=sys.stderr)
