"""What git holds: sources, metrics and reports; data sets, predictions and models lie in DVC's cache."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
MOST_BYTES = 1_000_000
BINARY = {".safetensors", ".pt", ".pt2", ".npz", ".npy", ".gz", ".db"}


@pytest.fixture
def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_no_data_and_no_model_is_tracked(tracked):
    assert not [path for path in tracked if path.suffix in BINARY]


def test_what_is_tracked_is_small(tracked):
    assert not [path for path in tracked if path.is_file() and path.stat().st_size > MOST_BYTES]


def test_a_pull_request_that_changes_what_a_stage_reads_starts_the_experiment(tracked):
    paths = YAML(typ="safe").load(ROOT / ".github/workflows/experiment.yml")["on"]["pull_request"]["paths"]
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values()
    read = {"params.yaml", "seeds.yaml", *(one for stage in stages for one in stage.get("do", stage)["deps"])}
    names = [path.relative_to(ROOT).as_posix() for path in tracked]
    asked = [name for name in names if any(name == one or name.startswith(f"{one}/") for one in read)]
    assert len(asked) > 100
    assert not [name for name in asked if not any(fnmatch(name, one) for one in paths)]


def test_a_copy_of_the_repository_runs_its_own_library(tmp_path):
    """As DVC's experiments do, with the environment of the clone that they were copied from."""
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    (tmp_path / "src/assay").mkdir(parents=True)
    (tmp_path / "src/assay/__init__.py").write_text("")
    code = "import stages, assay; print(assay.__file__)"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "src/assay/__init__.py")


def test_every_link_to_a_file_of_ours_leads_to_one(tracked):
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in tracked
        if page.suffix == ".md" and page.is_file()
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert not broken


def test_every_library_that_is_imported_is_declared(tracked):
    """What another library brings along today may be gone tomorrow."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["ray"]]
    names = {re.match(r"[\w.-]+", line)[0].lower() for line in declared} | {"assay"}
    of_package, missing = metadata.packages_distributions(), set()
    for path in tracked:
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in ("src", "stages"):
            for node in ast.walk(ast.parse(path.read_text())):
                modules = [node.module] if isinstance(node, ast.ImportFrom) else []
                modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                packages = {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"stages"}
                missing |= {
                    one for one in packages if not {name.lower() for name in of_package.get(one, [one])} & names
                }
    assert not missing
