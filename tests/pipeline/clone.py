"""A clone of the working tree with small parameters, in which tests run the real commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

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
STAGES = [
    *("download", "prepare", "baseline", "train@cyclic", "train@long"),
    *("evaluate_baseline", "evaluate@cyclic", "evaluate@long", "compare", "track"),
    *("prune@1", "prune@2", "evaluate_round@1", "evaluate_round@2"),
]


class Clone:
    """A clone of the working tree with parameters of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            if name.startswith("metrics/") or name == "dvc.lock" or not (ROOT / name).exists():
                continue
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        self.write(PARAMS)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("ASSAY", "MLFLOW", "PYTEST"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"),
            "PYTHONWARNINGS": "default",
            "ASSAY_DEVICE": "cpu",
            "ASSAY_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
        }
        self.run("git", "init", "-q")

    def write(self, params: dict) -> None:
        with (self.folder / "params.yaml").open("w") as stream:
            YAML().dump(params, stream)

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
        """Run `dvc repro`; gives the stages that it ran."""
        lines = self.run("dvc", "repro", *arguments).stdout.splitlines()
        return [line.split("'")[1] for line in lines if line.startswith("Running stage")]

    def bytes_of(self, folder: str) -> dict[str, bytes]:
        files = (path for path in sorted((self.folder / folder).rglob("*")) if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}
