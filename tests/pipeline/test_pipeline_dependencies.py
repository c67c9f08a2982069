"""dvc.yaml tells the truth: what a stage's code imports is under its deps, what it reads is under its params.

Without this, a change of code would leave a stale result standing, and DVC would call it up to date.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
MORE = {"baseline_more": "more_baseline", "train_more": "more", "prune_more": "more_rounds"}
SEARCH = {"assay": ROOT / "src", "stages": ROOT}
FINDS_THE_LIBRARY = ROOT / "stages/__init__.py"  # what it finds is under the deps itself


def template(name: str) -> dict:
    return STAGES[name].get("do", STAGES[name])


def module_file(name: str) -> Path | None:
    """The file of a module of ours, or None where the name is no module (an attribute, or somebody else's)."""
    root = SEARCH.get(name.partition(".")[0])
    if root is None:
        return None
    path = root.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.exists():
            return candidate
    return None


class Imports(ast.NodeVisitor):
    """The modules that a file imports when it runs, wherever in the file; not those for type checkers alone."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "imports are absolute here"
        self.names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}


def closure(start: Path) -> set[Path]:
    """All files of ours that running `start` imports, packages' own files included."""
    files: set[Path] = set()
    waiting = [start]
    while waiting:
        file = waiting.pop()
        if file in files:
            continue
        files.add(file)
        visitor = Imports()
        visitor.visit(ast.parse(file.read_text()))
        for name in visitor.names:
            parts = name.split(".")
            parents = (module_file(".".join(parts[: i + 1])) for i in range(len(parts)))
            waiting += [found for found in parents if found]
    return files


def stage_file(name: str) -> Path:
    command = template(name)["cmd"].split()
    assert command[:2] == ["python", "-m"]
    return module_file(command[2])


def imported_by(name: str) -> set[Path]:
    """What a stage imports, by itself and through the method files that it names (methods are imported by name)."""
    named = [ROOT / dep for dep in template(name)["deps"] if dep.startswith("src/assay/methods/") and "$" not in dep]
    return set().union(*(closure(file) for file in (stage_file(name), *named)))


def is_empty(file: Path) -> bool:
    """A package's file that holds a docstring and nothing else can't change a result."""
    body = ast.parse(file.read_text()).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


@pytest.mark.parametrize("name", STAGES)
def test_every_imported_file_is_a_dependency(name):
    deps = [ROOT / dep for dep in template(name)["deps"]]
    imported = {file for file in imported_by(name) if not is_empty(file) and file != FINDS_THE_LIBRARY}
    uncovered = sorted(
        str(file.relative_to(ROOT)) for file in imported if not any(file.is_relative_to(dep) for dep in deps)
    )
    assert not uncovered, f"add to the deps of {name} in dvc.yaml: {uncovered}"


@pytest.mark.parametrize("name", STAGES)
def test_every_source_dependency_is_imported(name):
    imported = imported_by(name)
    methods = ROOT / "src/assay/methods"
    for dep in template(name)["deps"]:
        path = ROOT / dep
        if dep == "src/assay/data/catalog.yaml":  # read, not imported
            assert ROOT / "src/assay/data/sets/catalog.py" in imported, f"{name} does not read {dep}"
        elif dep.startswith(("src/", "stages/")) and path.parent != methods:  # methods are imported by name
            assert any(file.is_relative_to(path) for file in imported), f"{name} does not import {dep}"


def test_the_stages_that_train_depend_on_their_method():
    assert "src/assay/methods/sgd.py" in template("baseline")["deps"]
    assert "src/assay/methods/${item.method}.py" in template("train")["deps"]


def read_names(file: Path) -> set[str]:
    """The sections of params.yaml that a stage asks `config.read` for."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "config.read":
            assert all(isinstance(argument, ast.Constant) for argument in node.args), "name the sections literally"
            names |= {argument.value for argument in node.args}
    return names


@pytest.mark.parametrize("name", STAGES)
def test_the_parameters_read_are_those_declared(name):
    declared = template(name).get("params", [])
    if {"params.yaml": None} in declared:  # all of it, so that no section has to be there
        assert name in ("register", "compare", "track")
        return
    named = {param.partition(".")[0] for param in declared if isinstance(param, str)}  # of params.yaml
    if name.endswith("_more") and declared:  # a block has its own seeds, from seeds.yaml
        named.add("seeds")
        assert [param["seeds.yaml"] for param in declared if isinstance(param, dict)] == [[f"{MORE[name]}.${{key}}"]]
    assert read_names(stage_file(name)) == named


def test_an_arm_depends_on_its_own_parameters_alone():
    assert "arms.${key}" in template("train")["params"]
    assert "arms" not in template("train")["params"]


def test_params_reach_the_library_through_read_alone():
    """`config.load` reads everything: it is for checking, and for telling what things cost, which no stage does."""
    users = []
    for file in [*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and any(ast.unparse(arg) == "config.load()" for arg in node.args):
                users.append(ast.unparse(node.func))
            elif isinstance(node, ast.Assign) and ast.unparse(node.value) == "config.load()":
                users.append(str(file.relative_to(ROOT)))
    assert set(users) == {"methods.check", "src/assay/check.py", "Costing", "cost"}


def test_no_stage_worth_restoring_has_what_switches_the_run_cache_off():
    """DVC restores no stage with persistent outputs, nor one with uncached outputs that are not metrics or plots."""
    for name in STAGES:
        stage = template(name)
        assert stage["deps"]
        assert not stage.get("always_changed")
        flags = [next(iter(out.values())) for out in stage.get("outs", []) if isinstance(out, dict)]
        restorable = all(flag.get("cache", True) and not flag.get("persist") for flag in flags)
        assert restorable == (name not in ("register", "scan", "compare", "track"))  # which take seconds
