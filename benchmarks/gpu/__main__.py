"""`python -m benchmarks.gpu run OUT`: on a GPU, in order and as far as the time goes, keeping in OUT what is done.

1. `tests`: those that a GPU can change; 2. `default`: the pipeline of params.yaml, whole; 3. `profile`: where a step of
ResNet-20 and of Conv-2 spends its time; 4. `rivals`: our stacks beside the loops that others write; then the presets.
Each has a folder in OUT. The pipeline's stages run one after another, without DVC, which need not be installed; raw
data comes from `ASSAY_DATA_DIR` where the machine has no network. Started again, it goes on where it stopped: what a
stage left is kept, and a training that was cut off has its checkpoint.

`python -m benchmarks.gpu archive OUT` then writes the finished pipelines to `results/`, in the checkout that was sent.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli import archive, preset
from assay.core import config, files
from assay.core.config import BASELINE, PARAMS_FILE, SEEDS_FILE
from assay.core.config.blocks import NO_BLOCKS
from assay.core.errors import AssayError, one_line_errors
from assay.core.plain import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PRESETS = ("subspace_cifar10", "lottery_conv_2_cifar10", "hard_batches_cifar10")
DEFAULT, NAME_OF_DEFAULT = "default", "mnist_gpu"
COMMANDS = {
    "tests": ("pytest", "-q", "-k", "cuda"),
    "profile": ("benchmarks.gpu.profile",),
    "rivals": ("benchmarks.rivals",),
}
ORDER = ("tests", DEFAULT, "profile", "rivals", *PRESETS)


class OutOfTimeError(Exception):
    """The time is over; what is done is kept."""


def stages(params: config.Params) -> Iterator[tuple[Sequence[str], Path]]:
    """The stages of dvc.yaml in an order in which each has what it needs: its module with arguments, what it leaves."""
    yield ("register",), Path("metrics/networks.json")
    yield ("scan", params.data.name), Path("data/own.json")
    yield ("download",), Path("data/raw")
    yield ("prepare",), Path("data/prepared")
    for run in params.runs():
        number = run.arm.removeprefix("round-")
        module = "baseline" if run.arm == BASELINE else "train" if number == run.arm else "prune"
        yield (module, *([] if run.arm == BASELINE else [number])), Path("models", run.arm)
        yield ("evaluate", run.arm), Path(f"metrics/evaluate/{run.arm}.json")
    yield ("compare",), Path("metrics/claims.json")


def pipeline(folder: Path, text: str, deadline: float) -> None:
    """Run the pipeline of a params.yaml in a folder of its own; what is there is done.

    Raises:
        AssayError: the folder holds the results of other parameters, or a stage failed.
        OutOfTimeError: the deadline, of `time.monotonic`, has passed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / PARAMS_FILE
    if place.exists() and text_of(place) != text:
        raise AssayError(f"{place}: holds other parameters; choose another OUT, or delete {folder}")
    files.write_text(place, text)
    files.write_text(folder / SEEDS_FILE, NO_BLOCKS.text())
    for (module, *arguments), left in stages(config.load(place)):
        if not (folder / left).exists():
            execute((f"stages.{module}", *arguments), folder, deadline)


def execute(module: Sequence[str], folder: Path, deadline: float) -> None:
    """Run a module in a folder, with its output beside it in `log.txt`; errors as of `pipeline`."""
    root = Path.cwd()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    if (seconds := deadline - time.monotonic()) <= 0:
        raise OutOfTimeError
    print(f"{folder.name}: {' '.join(module)}", flush=True)
    with (folder / "log.txt").open("a") as log:
        command = (sys.executable, "-m", *module)
        try:
            done = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise OutOfTimeError from None
    if done.returncode:
        raise AssayError(f"{folder}: {' '.join(module)} ended with exit code {done.returncode}; log.txt there says why")


def run(out: Path, minutes: float, wanted: Sequence[str]) -> None:
    """Do what is wanted, in order; what fails is told, and the rest goes on."""
    deadline, failed = time.monotonic() + 60 * minutes, []
    for name in wanted:
        folder = out.resolve() / name
        try:
            if name in COMMANDS:
                if not (folder / "done").exists():
                    folder.mkdir(parents=True, exist_ok=True)
                    files.remove(folder / "log.txt")
                    execute(COMMANDS[name] if name != "tests" else (*COMMANDS[name], str(Path.cwd())), folder, deadline)
                    files.write_text(folder / "done", "")
            else:
                pipeline(folder, parameters(name), deadline)
        except OutOfTimeError:
            print(f"{name}: the time is over; the same command goes on from here")
            break
        except AssayError as error:
            failed.append(name)
            print(f"error: {error}", file=sys.stderr, flush=True)
    if failed:
        raise AssayError(f"failed: {', '.join(failed)}")


def parameters(name: str) -> str:
    """The text of the params.yaml of an experiment."""
    own = text_of(PARAMS_FILE)
    return (
        own
        if name == DEFAULT
        else preset.overlaid(own, preset.read(name, preset.FOLDER), f"{preset.FOLDER}/{name}.yaml")
    )


def archive_all(out: Path, force: bool = False) -> None:
    """Write what is finished in OUT to `results/`, as `make archive` does; `force` replaces other runs there."""
    root = Path.cwd()
    for name in (DEFAULT, *PRESETS):
        if not (out / name / "metrics/claims.json").exists():
            print(f"{name}: not finished")
            continue
        with chdir(out / name):
            archive.keep(NAME_OF_DEFAULT if name == DEFAULT else name, force=force, root=root)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "archive"])
    parser.add_argument("out", type=Path)
    parser.add_argument("what", nargs="*", help=f"{', '.join(ORDER)} (all of them)")
    parser.add_argument("--minutes", type=float, default=28, help="when to stop (%(default)s)")
    parser.add_argument("--force", action="store_true", help="let `archive` replace another run of the same name")
    given = parser.parse_args()
    with one_line_errors():
        if unknown := [name for name in given.what if name not in ORDER]:
            raise AssayError(f"{unknown[0]}: unknown; allowed: {', '.join(ORDER)}")
        if given.action == "run":
            run(given.out, given.minutes, given.what or ORDER)
        else:
            archive_all(given.out, given.force)
