"""A pipeline shaped like the real one, of shell commands that take no time, with a git origin and a DVC remote."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from clone import ROOT, Workspace, ran

if TYPE_CHECKING:
    from pathlib import Path

PARAMS = """\
seeds: [0, 1]
data: {name: digits, validation: 200}
model: {name: linear}
train: {steps: 3, batch_size: 2, optimizer: {name: adam, lr: 0.1}, evaluate_every: 1}
arms:
  a: {method: sgd, steps: 10}
  # lines between two arms, so that git can merge
  # a change of one
  # with a change of the other
  b: {method: sgd, steps: 20}
claims: []
"""
PIPELINE = """\
stages:
  prepare:
    cmd: mkdir -p data/prepared; sort raw.txt > data/prepared/sorted.txt
    deps: [raw.txt]
    outs: [data/prepared]
  train:
    foreach: ${arms}
    do:
      cmd: >-
        mkdir -p models/${key} metrics/timings;
        { grep " ${key}: " params.yaml; cat data/prepared/sorted.txt code.txt; } > models/${key}/weights;
        echo '{"seconds":7.5}' > metrics/timings/${key}.json
      params: [seeds, "arms.${key}"]
      deps: [data/prepared/sorted.txt, code.txt]
      outs: ["models/${key}", "metrics/timings/${key}.json"]
  evaluate:
    foreach: ${arms}
    do:
      cmd: >-
        mkdir -p data/predictions metrics/evaluate; md5sum < models/${key}/weights > data/predictions/${key};
        wc -c < models/${key}/weights > metrics/evaluate/${key}.json
      deps: ["models/${key}"]
      outs: ["data/predictions/${key}", "metrics/evaluate/${key}.json"]
  compare:
    cmd: cat data/predictions/* > metrics/summary.csv
    params: [arms]
    deps: [data/predictions, metrics/evaluate]
    outs: [metrics/summary.csv: {cache: false}]
  track:
    cmd: cat models/*/weights | wc -l > metrics/mlflow.json
    deps: [models, metrics/summary.csv, metrics/timings]
    outs: [metrics/mlflow.json: {cache: false, persist: true}]
"""
FILL = "from pathlib import Path; from assay.pipeline import dvc; dvc.reproduce(Path.cwd())"
SIDE_BY_SIDE = """
from pathlib import Path
from assay.core.errors import one_line_errors
from assay.cli.repro import costs
from assay.pipeline import side_by_side
with one_line_errors():
    side_by_side.reproduce(Path.cwd(), costs)
"""
STAGES = ["prepare", "train@a", "train@b", "evaluate@a", "evaluate@b", "compare", "track"]


class Tiny(Workspace):
    """A clone of the tiny repository."""

    def __init__(self, folder: Path, **environment: str) -> None:
        super().__init__(folder, PYTHONPATH=f"{ROOT / 'src'}{os.pathsep}{ROOT}", **environment)

    def shell(self, line: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("bash", "-euo", "pipefail", "-c", line, check=check)

    def change(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def side_by_side(self, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """What `assay repro` does, without the check and without MLflow."""
        return self.run("python", "-c", SIDE_BY_SIDE, check=check, ASSAY_DEVICE="cpu", **environment)

    def ci_repro(self, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("assay", "ci-repro", check=check)

    def repro(self) -> list[str]:
        """Run what CI runs; gives the stages that ran."""
        return ran(self.ci_repro().stdout)


def create(folder: Path, remote: str, *settings: str, **environment: str) -> tuple[Tiny, Path]:
    """A filled repository, pushed to a bare origin beside it and to the DVC remote; gives both.

    Args:
        folder: where both are made.
        remote: its URL.
        settings: of the remote, as `name=value`.
        environment: for every command.
    """
    origin, work = folder / "origin.git", folder / "work"
    work.mkdir(parents=True)
    tiny = Tiny(work, **environment)
    tiny.run("git", "init", "-q", "--bare", "-b", "main", str(origin))
    tiny.run("git", "init", "-q", "-b", "main")
    for name, text in {"params.yaml": PARAMS, "dvc.yaml": PIPELINE, "raw.txt": "2\n1\n", "code.txt": "x\n"}.items():
        (work / name).write_text(text)
    (work / ".gitignore").write_text(
        "/models/\n/data/*\n!/data/own.json\n/metrics/*/\n/metrics/mlflow.json\n/.assay/\n"
    )
    (work / "data").mkdir()
    (work / "data/own.json").write_text("{}\n")
    tiny.run("dvc", "init", "-q")
    tiny.run("dvc", "remote", "add", "--default", "team", remote)
    for setting in settings:
        tiny.run("dvc", "remote", "modify", "team", *setting.split("=", 1))
    assert sorted(ran(tiny.run("python", "-c", FILL).stdout)) == sorted(STAGES)
    tiny.shell(f"git add -A && git commit -qm first && git remote add origin {origin} && git push -q origin main")
    return tiny, origin


def clone(origin: Path, folder: Path, **environment: str) -> Tiny:
    """A fresh clone: no data, no cache."""
    subprocess.run(["git", "clone", "-q", str(origin), str(folder)], check=True)
    return Tiny(folder, **environment)
