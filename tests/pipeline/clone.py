"""A clone of the working tree with small parameters, in which tests run the real commands."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from assay.core.config import SEEDS_FILE
from assay.core.config.blocks import NO_BLOCKS
from assay.pipeline import warm

ROOT = Path(__file__).parents[2]
PARAMS = {
    "seeds": [0, 1],
    "data": {"name": "digits", "validation": 200},
    "model": {"name": "mlp", "hidden": [16]},
    "train": {
        "steps": 60,
        "batch_size": 32,
        "optimizer": {"name": "adam", "lr": 0.01},
        "evaluate_every": 20,
    },
    "lottery": {
        "prune_fraction": {"linear": 0.2, "output": 0.1},
        "scope": "layerwise",
        "rewind": 0,
        "rounds": {"1": {"after": "baseline"}, "2": {"after": "round-1"}},
        "controls": [2],
    },
    "arms": {"cyclic": {"method": "sgd", "batches": "fixed"}, "long": {"method": "sgd", "steps": 80}},
    "claims": [
        {
            "id": "fixed-is-enough",
            "paper": "none",
            "statement": "Fixed batches cost nothing.",
            "arm": "cyclic",
            "against": "baseline",
            "metric": "accuracy",
            "verdict": "not_worse",
            "margin": 0.02,
        }
    ],
}
IMPORTED = ("altair", "dvc.api", "mlflow.store.tracking.sqlalchemy_store", "scipy.stats", "sklearn.datasets")
STAGES = [
    *("register", "scan", "download", "prepare", "baseline", "train@cyclic", "train@long"),
    *("evaluate_baseline", "evaluate@cyclic", "evaluate@long", "compare", "track"),
    *("prune@1", "prune@2", "evaluate_round@1", "evaluate_round@2"),
]


@functools.cache
def commands() -> Path:
    """The folder with warm commands, which lives as long as this process does."""
    context = warm.commands(*IMPORTED)
    atexit.register(context.__exit__, None, None, None)
    return context.__enter__()


def ran(output: str) -> list[str]:
    """The stages that DVC says it ran."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


class Workspace:
    """A folder in which tests run the real commands, with none of this process's settings."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        settings = ("ASSAY", "GIT", "MLFLOW", "PYTEST")
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(settings)},
            "SHELL": "/bin/sh",  # in which DVC runs the stages, whatever a person's own is
            "PATH": os.pathsep.join([str(commands()), str(Path(sys.executable).parent), os.environ["PATH"]]),
            warm.MARK: str(commands()),
            "ASSAY_DEVICE": "cpu",
            "ASSAY_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            **{f"GIT_{role}_NAME": "somebody" for role in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{role}_EMAIL": "somebody@example.org" for role in ("AUTHOR", "COMMITTER")},
            **environment,
        }

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def repro(self, *arguments: str) -> list[str]:
        """Run `dvc repro`, which writes dvc.lock as `make repro` does; gives the stages that it ran."""
        return ran(self.run("python", "-m", "assay.pipeline.quick_dvc", "repro", *arguments).stdout)

    def bytes_of(self, folder: str) -> dict[str, bytes]:
        place = self.folder / folder
        files = (path for path in (sorted(place.rglob("*")) if place.is_dir() else [place]) if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}


class Clone(Workspace):
    """A clone of the working tree with parameters of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, PYTHONPATH=str(folder / "src"), PYTHONWARNINGS="default")
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            if name.startswith("metrics/") or name == "dvc.lock" or not (ROOT / name).exists():
                continue
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        (folder / SEEDS_FILE).write_text(NO_BLOCKS.text())  # those of the working tree fit its own parameters
        self.write(PARAMS)
        self.run("git", "init", "-q")

    def write(self, params: dict) -> None:
        with (self.folder / "params.yaml").open("w") as stream:
            YAML().dump(params, stream)
