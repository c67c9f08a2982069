"""`assay archive NAME`: keep a finished run in `results/NAME/`, in small files that belong in git.

The folder holds params.yaml (and seeds.yaml), claims.json, summary.csv, evaluate/, run.json (commit, machine, seconds)
and a README.md. Models and predictions are not kept. `assay.analysis.claims` reads it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.analysis import claims
from assay.core import config, files
from assay.core.config.parsing import LONGEST_NAME
from assay.core.errors import AssayError
from assay.core.plain import read_json
from assay.pipeline import dag, plan
from assay.pipeline.reasons import Reason
from assay.report import report, summary, verdicts
from assay.scoring import record

if TYPE_CHECKING:
    from assay.pipeline.plan import Plan

NAME = re.compile(rf"[A-Za-z][A-Za-z0-9_]{{0,{LONGEST_NAME - 1}}}")
TIMINGS, README = Path("metrics/timings.json"), "README.md"
FACTS = ("device", "processor", "instructions", "threads", "torch")
OF_THE_COMMIT = {  # the same run, archived later, differs in these alone
    "commit": ("rev-parse", "HEAD"),
    "date": ("log", "-1", "--format=%cI"),
    "changed_since": ("status", "--porcelain", "--", "src", "stages", "dvc.yaml"),
}
UNSEEN = Reason("file", str(claims.ARCHIVES))  # of `compare`: another archived run, on which nothing archived depends


def main(name: str, note: str = "", force: bool = False) -> None:
    """Archive the run whose results are in `metrics/` as `results/<name>/`; `force` replaces another run there.

    Raises:
        AssayError: the name is unusable or taken, the run is not finished, a result is missing or damaged, or git knows
            no commit.
    """
    if not NAME.fullmatch(name):
        allowed = f"letters, digits and _, at most {LONGEST_NAME}, the first a letter"
        raise AssayError(f"NAME: got {name!r}; it should be {allowed}, as in: make archive NAME=mnist")
    _check_finished(plan.make(Path()), claims.ARCHIVES / name)
    keep(name, note, force)


def keep(name: str, note: str = "", force: bool = False, root: Path = Path()) -> None:
    """Archive the finished run in this folder in the checkout `root`, whose commit it names; errors as of `main`."""
    folder = root / claims.ARCHIVES / name
    with files.replacing(folder) as new:
        _write(new, name, note, root)
        if folder.exists() and _content(folder) == _content(new):
            print(f"{folder}: holds this run already")
            shutil.copytree(folder, new, dirs_exist_ok=True)  # its commit is the one it was archived at
        elif folder.exists() and not force:
            raise AssayError(f"{folder}: holds another run; choose another NAME, or replace it with FORCE=1")
        else:
            print(f"{folder}: written; commit it to keep it")


def _check_finished(found: Plan, folder: Path) -> None:
    known = {UNSEEN}  # and the consequences of it
    for step in found.steps:
        why = [one for one in step.reasons if one not in known]
        if why and step.stage != "track":  # which writes nothing that is archived
            unfinished = f"not written, since the run is not finished: {step.stage} would run ({why[0]})"
            raise AssayError(f"{folder}: {unfinished}; run `make repro` first")
        known.add(Reason("upstream", step.stage))


def _write(folder: Path, name: str, note: str, root: Path) -> None:
    params = config.load()
    timings = read_json(TIMINGS, "`make repro` writes it", "delete it and run `make repro`")
    machines = [{key: one[key] for key in FACTS if key in one} for one in timings.values()]
    seconds = {arm: one["seconds"] for arm, one in timings.items()}
    try:
        git = {key: dag.git(root, *command).rstrip("\n") for key, command in OF_THE_COMMIT.items()}
    except AssayError as error:
        raise AssayError(f"{error}; an archive names the commit") from None
    run = {
        "data": params.data.name,
        "model": params.model.name,
        "seeds": list(params.seeds),
        "rule": params.rule.model_dump(mode="json"),
        "note": note,
        **git,
        "changed_since": [line[3:] for line in git["changed_since"].splitlines()],
        "machines": [one for i, one in enumerate(machines) if one not in machines[:i]],
        "training_seconds": round(sum(seconds.values()), 1),
        "training_seconds_by_arm": seconds,
    }
    (folder / "evaluate").mkdir(parents=True)
    for path in (config.PARAMS_FILE, config.SEEDS_FILE, claims.PATH, summary.PATH):
        if path != config.SEEDS_FILE or path.exists():
            shutil.copyfile(path, folder / path.name)
    for arm in seconds:
        path = record.RECORDS / f"{arm}.json"
        if not path.is_file():
            raise AssayError(f"{path}: not found; `dvc pull` fetches it, `dvc repro` writes it")
        shutil.copyfile(path, folder / "evaluate" / path.name)
    files.write_json(folder / claims.RUN, run)
    decided = claims.read(claims.PATH)
    told = {"headline": verdicts.headline(decided), "topics": verdicts.topics(decided, summary.read(summary.PATH))}
    text = report.templates().get_template("archive.md.j2").render(name=name, run=run, **told)
    files.write_text(folder / README, text)


def _content(folder: Path) -> dict[str, Any]:
    """All files by name; of run.json and its README what does not depend on the commit."""
    kept = (path for path in folder.rglob("*") if path.is_file() and path.name != README)  # it follows from the others
    found: dict[str, Any] = {str(path.relative_to(folder)): path.read_bytes() for path in kept}
    run = files.read_json(folder / claims.RUN) if claims.RUN in found else {}
    found[claims.RUN] = {key: value for key, value in run.items() if key not in OF_THE_COMMIT}
    return found
