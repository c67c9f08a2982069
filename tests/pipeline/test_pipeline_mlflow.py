"""MLflow as a user meets it: docs/mlflow.md's lines, DVC's experiments, the port of `make ui`, a repository that moved.

The tests of this module share one clone and run in order, on one worker: each starts from what the one before left.
"""

from __future__ import annotations

import re
import socket
import sqlite3

import pytest
from clone import PARAMS, ROOT, Clone

ARM = {"method": "sgd", "batches": "fixed", "steps": 60}
CURRENT = "SELECT run_uuid FROM tags WHERE key = 'assay.current' AND value = 'true'"
CHAMPION = "SELECT version FROM registered_model_aliases"
EXPERIMENT = "SELECT run_uuid FROM tags WHERE key = 'assay.experiment' AND value = 'probe'"


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    clone = Clone(tmp_path_factory.mktemp("clone") / "first")
    clone.write({**PARAMS, "arms": {"cyclic": ARM}, "lottery": {**PARAMS["lottery"], "rounds": {}, "controls": []}})
    clone.repro()
    clone.run("git", "add", "--all")
    clone.run("git", "commit", "--quiet", "--message", "results")
    return clone


def asked(clone: Clone, query: str) -> list[object]:
    with sqlite3.connect(clone.folder / "mlflow.db") as database:
        return sorted(row[0] for row in database.execute(query))


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_a_page_that_has_commands_of_dvc_says_to_activate_the_environment(page):
    text = page.read_text()
    bare = re.search(r"^ *dvc |`dvc [a-z]", text, re.MULTILINE)
    assert not bare or "source .venv/bin/activate" in text


def code_of(page: str) -> str:
    """The Python lines of a page that load the champion."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return next(code for code in blocks if "champion" in code)


def test_the_lines_that_load_the_champion_run_as_they_stand(clone, tmp_path):
    code = code_of("docs/mlflow.md").replace("mnist-lenet_300_100", "digits-mlp").replace("28, 28", "8, 8")
    ran = clone.run("python", "-c", f"{code}\nprint(tuple(probabilities.shape), float(probabilities.sum()))")
    assert re.match(r"\(5, 10\) (5\.0|4\.99)", ran.stdout)
    clone.folder, folder = tmp_path, clone.folder
    outside = clone.run("python", "-c", code, check=False)
    clone.folder = folder
    assert "FileNotFoundError" in outside.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_in_a_temporary_folder_reaches_the_repositorys_database(clone):
    current, champion = asked(clone, CURRENT), asked(clone, CHAMPION)
    done = clone.run("dvc", "exp", "run", "--temp", "--name", "probe", "--set-param", "arms.cyclic.steps=40")
    assert f"2 of 3 runs are new, in sqlite:///{clone.folder}/mlflow.db" in done.stdout
    assert "dvc exp apply probe" in done.stdout
    assert len(asked(clone, EXPERIMENT)) == 2  # the arm and the report
    assert (asked(clone, CURRENT), asked(clone, CHAMPION)) == (current, champion)
    clone.run("dvc", "exp", "apply", "probe")
    assert ": 0 of 3 runs are new" in clone.run("python", "-m", "stages.track").stdout
    assert set(asked(clone, EXPERIMENT)) < set(asked(clone, CURRENT))


def test_a_port_that_cannot_be_used_is_one_line(clone):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        taken = clone.run("assay", "ui", check=False, PORT=port)
    assert (taken.returncode, taken.stdout) == (2, "")
    assert taken.stderr.startswith(f"error: PORT={port}: another program listens at this port; choose another")
    assert taken.stderr.count("\n") == 1
    wrong = clone.run("assay", "ui", check=False, PORT="web")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "http://127.0.0.1:5123/#/" in clone.run("python", "-m", "stages.track", PORT="5123").stdout


def test_a_moved_repository_tracks_where_it_is(clone):
    before = clone.folder
    clone.folder = before.rename(before.with_name("second"))
    clone.environment["PYTHONPATH"] = str(clone.folder / "src")
    assert ": 0 of 3 runs are new" in clone.run("python", "-m", "stages.track").stdout
    assert not before.exists()
    assert all(str(clone.folder) in uri for uri in asked(clone, "SELECT artifact_uri FROM runs"))
