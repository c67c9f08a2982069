"""dvc.yaml tells the truth: what a stage's code imports is under its deps, what it reads is under its params.

Without this, a change of code would leave a stale result standing, and DVC would call it up to date.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from assay import methods, models
from assay.core import config
from assay.core.config.parsing import parse
from assay.engine.checkpoint import ALSO, SOURCES

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
MORE = {"baseline_more": "more_baseline", "train_more": "more", "prune_more": "more_rounds"}
SEARCH = {"assay": ROOT / "src", "stages": ROOT}
FINDS_THE_LIBRARY = ROOT / "stages/__init__.py"  # what it finds is under the deps itself


def template(name: str) -> dict:
    return STAGES[name].get("do", STAGES[name])


@cache
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


@cache
def imports_of(file: Path) -> set[Path]:
    """The files of ours that a file imports by itself, packages' own files included."""
    visitor = Imports()
    visitor.visit(ast.parse(file.read_text()))
    if file == models.NETS.with_name("__init__.py"):  # it imports networks by name, and what they share with them
        visitor.names.add("assay.models.nets")
    parts = [name.split(".") for name in visitor.names]
    return {found for name in parts for i in range(len(name)) if (found := module_file(".".join(name[: i + 1])))}


def closure(*start: Path) -> set[Path]:
    """All files of ours that running `start` imports."""
    files: set[Path] = set()
    waiting = list(start)
    while waiting:
        file = waiting.pop()
        if file not in files:
            files.add(file)
            waiting += imports_of(file)
    return files


def stage_file(name: str) -> Path:
    command = template(name)["cmd"].split()
    assert command[:2] == ["python", "-m"]
    return module_file(command[2])


METHODS, ANY = "src/assay/methods", "${item.method}"
SECONDS = ("register", "compare", "track")  # what these take: they may rerun for a file that they do without


def instances() -> list[tuple[str, tuple[str, ...]]]:
    """Every stage with the methods that it imports by name; the one that trains any arm, once for each method."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for name in STAGES:
        deps = {dep.removeprefix(f"{METHODS}/") for dep in template(name)["deps"]}
        if ANY in deps:
            found += [(name, (method,)) for method in methods.names() if method != "lottery"]  # whose stage is `prune`
        else:
            found.append((name, tuple(each for each in methods.names() if each in deps or name == "register")))
    return found


def deps_of(name: str, named: tuple[str, ...]) -> list[Path]:
    return [ROOT / dep.replace(ANY, named[0] if named else "") for dep in template(name)["deps"]]


def imported_by(name: str, named: tuple[str, ...]) -> set[Path]:
    """What a stage imports, by itself and through its methods."""
    return closure(stage_file(name), *(ROOT / METHODS / method / "__init__.py" for method in named))


@cache
def is_empty(file: Path) -> bool:
    """A package's file that holds a docstring and nothing else can't change a result."""
    body = ast.parse(file.read_text()).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


@pytest.mark.parametrize(("name", "named"), instances())
def test_every_imported_file_is_a_dependency(name, named):
    deps = deps_of(name, named)
    imported = {file for file in imported_by(name, named) if not is_empty(file) and file != FINDS_THE_LIBRARY}
    uncovered = sorted(
        str(file.relative_to(ROOT)) for file in imported if not any(file.is_relative_to(dep) for dep in deps)
    )
    assert not uncovered, f"add to the deps of {name} in dvc.yaml: {uncovered}"


@pytest.mark.parametrize(("name", "named"), instances())
def test_every_source_dependency_is_imported(name, named):
    imported = imported_by(name, named)
    for path in deps_of(name, named):
        if path.is_relative_to(ROOT / "src") or path.is_relative_to(ROOT / "stages"):
            read = (name, path) == ("compare", ROOT / METHODS)  # each method's PAPER, without importing it
            read |= path == ROOT / "src/assay/data/catalog.yaml" and path.with_name("catalog.py") in imported
            assert read or any(file.is_relative_to(path) for file in imported), f"{name} does not import {path}"


def test_every_file_of_a_folder_is_imported_by_a_stage_that_names_the_folder():
    """What no training or evaluation does with stands beside the folder, so that an edit of it reruns none of them."""
    used: dict[Path, set[Path]] = {}
    for name, named in instances():
        if name not in SECONDS:
            for folder in filter(Path.is_dir, deps_of(name, named)):
                used.setdefault(folder, set()).update(imported_by(name, named))
    for folder, imported in used.items():
        files = {file for file in folder.rglob("*.py") if not is_empty(file)}
        unused = {str(file.relative_to(ROOT)) for file in files - imported}
        assert not unused, f"{sorted(unused)}: move out of {folder}, no stage that depends on it imports them"


def test_the_stages_that_train_depend_on_their_method():
    for name, folder in (("baseline", "sgd"), ("train", ANY), ("prune", "lottery")):
        assert f"{METHODS}/{folder}" in template(name)["deps"]
        assert f"{METHODS}/{folder}" in template(f"{name}_more")["deps"]


def test_a_checkpoint_is_of_the_source_that_a_training_depends_on():
    library = ROOT / "src/assay"
    for name, method in (("baseline", "sgd"), ("train", "sgd"), ("prune", "lottery")):
        digested = {file for pattern in (*SOURCES, *ALSO.get(method, ())) for file in library.glob(pattern)}
        deps = [path for path in deps_of(name, ("sgd",)) if path.is_relative_to(library)]
        files = {file for path in deps for file in ([path] if path.is_file() else path.rglob("*.py"))}
        shared = {file for file in files if file.parent.parent != library / "methods"}
        assert shared == digested


ARM = {"train": "${key}", "evaluate": "${key}", "train_more": "${item.arm}", "evaluate_more": "${item.arm}"}


@pytest.mark.parametrize("name", [name for name in STAGES if name.startswith(("baseline", "train", "prune", "eval"))])
def test_what_builds_a_network_depends_on_the_source_of_its_arms_network_alone(name):
    """A stage cannot name the file, since an arm may inherit its network: `register` writes its digest, by arm."""
    found = [param[models.DIGESTS] for param in template(name)["params"] if models.DIGESTS in param]
    assert found == [[f"networks.{ARM.get(name, 'baseline')}"]]  # a round prunes the baseline's
    assert {models.NETS / "__init__.py"} == {file for file in deps_of(name, ()) if file.is_relative_to(models.NETS)}


def test_register_writes_the_digests_and_depends_on_every_network():
    assert models.DIGESTS in {name for out in template("register")["outs"] for name in out}
    assert any(models.NETS.is_relative_to(dep) for dep in deps_of("register", ()))


@pytest.mark.parametrize("file", sorted(models.NETS.glob("[!_]*.py")), ids=lambda file: file.stem)
def test_a_network_rests_on_what_all_trainings_and_evaluations_depend_on(file):
    needed = {needed for needed in closure(file) - {file} if not is_empty(needed)}
    for name in ("baseline", "train", "prune", "evaluate"):
        deps = deps_of(name, ("sgd",))
        assert not [one for one in needed if not any(one.is_relative_to(dep) for dep in deps)]


def declared(name: str) -> set[str]:
    """The keys of params.yaml under the `params` of a stage."""
    return {param for param in template(name).get("params", []) if isinstance(param, str)}


@pytest.mark.parametrize("name", STAGES)
def test_the_parameters_read_are_those_declared(name):
    if {"params.yaml": None} in template(name).get("params", []):  # all of it, so that no section has to be there
        assert name in ("register", "compare", "track")
        return
    files = [file for file in closure(stage_file(name)) if file.parent == ROOT / "stages"]  # it may run another's main
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    loads = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "config.load"]
    read = [node.attr for node in nodes if isinstance(node, ast.Attribute) and node.value in loads]
    assert len(read) == len(loads), "name what is read, as in `config.load().data`"
    assert set(read) == ({"run"} if stage_file(name).stem in RUNS else declared(name))


RUNS = {"baseline": "baseline", "train": "mine", "prune": "round-1"}
SECTIONS = {
    "seeds": [0, 1],
    "data": {"name": "digits", "validation": 100},
    "model": {"name": "linear"},
    "train": {"steps": 9, "batch_size": 6, "optimizer": {"name": "adam", "lr": 0.1}, "evaluate_every": 3},
    "arms": {"mine": {"method": "sgd"}, "other": {"method": "sgd"}},
    "lottery": {
        "prune_fraction": 0.2, "scope": "layerwise", "rewind": 0, "controls": [1],
        "rounds": {"1": {"after": "baseline"}},
    },
    "rule": {},
    "claims": [],
}  # fmt: skip
CHANGES = {
    "seeds": [0],
    "data": {"name": "mnist", "validation": 5},
    "model": {"name": "mlp", "hidden": [4]},
    "train": {**SECTIONS["train"], "steps": 8},
    "arms.mine": {"method": "sgd", "batches": "fixed"},
    "arms.other": {"method": "swa"},
    "lottery.prune_fraction": 0.3,
    "lottery.scope": "global",
    "lottery.rewind": 1,
    "lottery.controls": [],
    "lottery.rounds": {"1": {"after": "baseline"}, "2": {"after": "round-1"}},
    "rule": {"alpha": 0.1},
    "claims": [{"id": "c", "paper": "p", "statement": "s", "preset": "other"}],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("stage", RUNS)
def test_a_training_is_told_what_its_stage_declares_and_nothing_else(stage, change):
    section, _, key = change.partition(".")
    value = {**SECTIONS[section], key: CHANGES[change]} if key else CHANGES[change]
    before, after = (
        parse(config.Params, content, "params.yaml").run(RUNS[stage])
        for content in (SECTIONS, {**SECTIONS, section: value})
    )
    assert (before != after) == (change.replace("mine", "${key}") in declared(stage))


@pytest.mark.parametrize("stage", RUNS)
def test_a_block_depends_on_the_same_parameters_and_on_seeds_of_its_own(stage):
    more = f"{stage}_more"
    assert {param.replace("item.arm", "key") for param in declared(more)} == declared(stage) - {"seeds"}
    (own,) = [param for param in template(more)["params"] if "seeds.yaml" in param]
    assert own == {"seeds.yaml": [f"{MORE[more]}.${{key}}"]}


def test_the_library_reads_no_parameters_by_itself():
    """A stage hands it the sections that it declares; only commands and their plan read the whole file."""
    for file in (ROOT / "src").rglob("*.py"):
        if file.parent.name != "cli" and file != ROOT / "src/assay/pipeline/plan.py":
            nodes = ast.walk(ast.parse(file.read_text()))
            assert "config.load" not in [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)], file


def test_the_stage_that_checks_the_whole_file_is_the_first():
    assert next(iter(STAGES)) == "register"


def test_no_stage_worth_restoring_has_what_switches_the_run_cache_off():
    """DVC restores no stage with persistent outputs, nor one with uncached outputs that are not metrics or plots."""
    for name in STAGES:
        stage = template(name)
        assert stage["deps"]
        assert not stage.get("always_changed")
        flags = [next(iter(out.values())) for out in stage.get("outs", []) if isinstance(out, dict)]
        restorable = all(flag.get("cache", True) and not flag.get("persist") for flag in flags)
        assert restorable == (name not in ("register", "scan", "compare", "track"))  # which take seconds
