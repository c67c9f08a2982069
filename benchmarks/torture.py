"""`make torture`: kill the pipeline at random moments, start it again, and compare with an undisturbed run.

In a temporary clone of the working tree with small parameters, the command `assay repro` runs once undisturbed, then
in passes. A pass starts from nothing: no outputs, no caches, no database. The whole process group gets SIGKILL after a
random time, the command is started again, and so on until it ends. Then outputs, dvc.lock and MLflow's runs must be
those of the undisturbed run, byte for byte except for timings and what is derived from them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from ruamel.yaml import YAML

from assay.core import files
from assay.core.config import SEEDS_FILE
from assay.core.config.blocks import NO_BLOCKS
from assay.core.errors import AssayError, one_line_errors
from assay.tracking import tags
from benchmarks.same_bytes import differences

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMS: Mapping[str, Any] = {
    "seeds": [0, 1],
    "data": {"name": "digits", "validation": 200},
    "model": {"name": "mlp", "hidden": [16]},
    "train": {"steps": 120, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.01}, "evaluate_every": 40},
    "arms": {
        "hard": {"method": "hard_batches", "delta": 0.5},
        "line": {"method": "subspace", "shape": "line", "beta": 1.0},
    },
    "lottery": {
        "prune_fraction": {"linear": 0.2, "output": 0.1},
        "scope": "layerwise",
        "rewind": 0,
        "rounds": {"1": {"after": "baseline"}, "2": {"after": "round-1"}},
        "controls": [2],
    },
    "claims": [
        {
            "id": "a", "paper": "none", "statement": "Equal.", "arm": "hard", "against": "baseline",
            "metric": "accuracy", "verdict": "not_worse", "margin": 0.02,
        }
    ],
}  # fmt: skip
COMMAND = (sys.executable, "-m", "assay.cli", "repro")
SETTINGS: dict[str, Any] = {"ASSAY_THREADS": "1", "ASSAY_JOBS": "2", "ASSAY_CHECKPOINT_SECONDS": "0.02"}
STATE = (
    *("data/raw", "data/.raw.kept", "data/prepared", "data/predictions", "models", "metrics", ".assay"),
    *(".dvc/cache", ".dvc/tmp", "dvc.lock", "mlflow.db", "mlartifacts"),
)
OUTPUTS = ("data", "models", "metrics")
TIMED = ("metrics/timings", "metrics/mlflow.json")  # the keys in the latter depend on the former
KILLS_A_PASS = 6  # kills that would be dealt, on average, in the time of an undisturbed run
TRACKED = (sys.executable, "-c", "import json; from benchmarks import torture; print(json.dumps(torture.tracked()))")


class Clone:
    """A copy in `folder` of the working tree that this process is in, with small parameters.

    Its commands have this process's environment but for MLflow's and git's variables, and that of `environment`.
    """

    def __init__(self, folder: Path, params: Mapping[str, Any] = PARAMS, **environment: str) -> None:
        self.folder, self.log = folder, folder.with_suffix(".log")
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, capture_output=True, check=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            if not name.startswith(("metrics/", "dvc.lock")) and Path(name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(name, folder / name)
        files.write_json(folder / "params.yaml", params)
        files.write_text(folder / SEEDS_FILE, NO_BLOCKS.text())
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "GIT_"))},
            "PYTHONPATH": os.pathsep.join([str(folder / "src"), str(folder)]),
            "DVC_NO_ANALYTICS": "1",
            "ASSAY_DEVICE": "cpu",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            **environment,
        }

    def reset(self) -> None:
        """Remove everything that a run left."""
        for name in STATE:
            files.remove(self.folder / name)

    def run(self, seconds: float | None = None) -> int | None:
        """Run the pipeline; its exit code, or None where it was killed after `seconds`."""
        with self.log.open("w") as log:
            process = subprocess.Popen(
                COMMAND, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                return None
            finally:
                kill_group(process.pid)
                process.wait()

    def state(self) -> dict[str, Any]:
        """All that has to be equal: digests of the outputs, the entries of dvc.lock, MLflow's runs and models."""
        found: dict[str, Any] = {}
        for path in (path for name in OUTPUTS for path in sorted((self.folder / name).rglob("*")) if path.is_file()):
            name = str(path.relative_to(self.folder))
            if not name.startswith(TIMED):
                found[name] = files.file_digest(path)
        for stage, entry in YAML(typ="safe").load((self.folder / "dvc.lock").read_text())["stages"].items():
            for one in [*entry.get("deps", []), *entry["outs"]]:
                if one["path"].startswith(TIMED):  # its content differs from run to run
                    one.update(md5="", size=0)
            found[f"dvc.lock: {stage}"] = entry
        return {**found, **self._tracked(), "scratch": [path.name for path in self.folder.glob(".assay/scratch/*")]}

    def _tracked(self) -> Any:
        return json.loads(subprocess.check_output(TRACKED, cwd=self.folder, env=self.environment))


def tracked() -> dict[str, Any]:
    """MLflow's runs that are not deleted, and its models by what they answer, of the pipeline in this folder."""
    import mlflow
    import torch

    warnings.simplefilter("ignore")
    client, found = mlflow.MlflowClient(), dict[str, Any]()
    noted = files.read_json(Path("metrics/mlflow.json"))
    keys = {one["name"]: one["key"] for one in [*noted["runs"].values(), noted["report"]]}
    ids = [one.experiment_id for one in client.search_experiments()]
    for run in client.search_runs(ids):
        folder, metrics = Path("mlartifacts", run.info.run_id), run.data.metrics.keys() - {"seconds"}
        values = [one for name in sorted(metrics) for one in client.get_metric_history(run.info.run_id, name)]
        about = {
            "status": run.info.status,
            "key as noted": run.data.tags.get(tags.KEY) == keys.get(run.info.run_name),
            "metrics": sorted([one.key, one.step, str(one.value)] for one in values),  # a NaN is not equal to itself
            "parameters": run.data.params,
            "artifacts": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
        }
        found.setdefault(f"MLflow run: {run.info.run_name}", []).append(about)
    images = (torch.arange(10 * 64) % 17).reshape(10, 1, 8, 8).to(torch.uint8)
    names = {}
    for model in client.search_logged_models(ids, tags.filter_of(tags.CURRENT, "true")):
        names[model.model_uri] = model.name
        answers = mlflow.pytorch.load_model(model.model_uri)(images).detach().numpy()
        found.setdefault(f"MLflow model: {model.name}", []).append(hashlib.sha256(answers.tobytes()).hexdigest())
    for registered in client.search_registered_models():
        for alias, version in registered.aliases.items():
            mlflow.pytorch.load_model(f"models:/{registered.name}@{alias}")
            source = client.get_model_version(registered.name, version).source
            found[f"MLflow: {registered.name}@{alias}"] = names[source]
    return found


def kill_group(group: int) -> None:
    """Send SIGKILL to a process group and wait until all of it is gone or a zombie."""

    def lives(process: psutil.Process) -> bool:
        with suppress(ProcessLookupError):
            return process.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) == group
        return False

    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    while any(map(lives, psutil.process_iter(["status"]))):
        time.sleep(0.01)


def campaign(clone: Clone, kills: int, seed: int, minutes: float) -> list[str]:
    """Deal so many kills, at moments of this seed; gives what differs. After `minutes` no further pass is begun."""
    moments, began = random.Random(seed), time.monotonic()
    if clone.run():
        raise AssayError(f"the undisturbed run failed; {clone.log} says why")
    duration = time.monotonic() - began
    expected = clone.state()
    print(f"undisturbed: {duration:.0f} s, {len(expected)} things to compare", flush=True)
    dealt = passes = 0
    while dealt < kills and time.monotonic() - began < 60 * minutes:
        clone.reset()
        before, start, code = dealt, time.monotonic(), None
        while code is None:
            moment = moments.expovariate(KILLS_A_PASS / duration) if dealt < kills else None
            code = clone.run(moment)
            if code is None:
                dealt += 1
                print(f"kill {dealt} after {moment:.1f} s", flush=True)
        passes += 1
        found = [f"exit code {code}; {clone.log} says why"] if code else differences(expected, clone.state())
        print(f"pass {passes}: {dealt - before} kills, {time.monotonic() - start:.0f} s", flush=True)
        if found:
            return [f"pass {passes}, kill {dealt}, seed {seed}: {line}" for line in found]
    print(f"{dealt} kills, {passes} passes: every byte as undisturbed")
    return []


def main() -> int:
    """Run the campaign in a temporary folder, which stays if something differs; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (%(default)s)")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no pass after so many (%(default)s)")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="assay-torture-"))
    try:
        found = campaign(Clone(folder / "clone", **SETTINGS), given.kills, given.seed, given.minutes)
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        raise
    if found:
        print("\n".join([*found, f"kept to look at: {folder}"]), file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
