"""`assay COMMAND`: everything that a person or CI types. Only the chosen command's module is imported.

A command raises an `AssayError` where something is wrong that the user can mend; its lines are then what is printed.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.core.errors import AssayError, one_line_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path("dvc.yaml")  # stands in the root of a repository, where commands run
VERDICTS = ("reproduced", "refuted", "negligible", "undecided", "by construction", "not tested here")


class Command(NamedTuple):
    """A subcommand; `arguments` are what `add_argument` takes, by name."""

    target: str  # module:function, which takes the arguments by name; what it returns is the exit code
    help: str
    arguments: dict[str, dict[str, Any]] = {}  # noqa: RUF012 (a named tuple has no state)
    anywhere: bool = False  # also outside a repository


def _number(zero_too: bool) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not (value >= 0 if zero_too else value > 0):
            raise argparse.ArgumentTypeError(f"must be {'0 or more' if zero_too else 'above 0'}")
        return value

    return number


FLAG = {"action": "store_true"}
ON = {
    "--on": {"choices": ("here", "ray"), "default": "here", "help": "where units run (%(default)s); ray: RAY_ADDRESS"}
}
BASE = {"--base": {"default": "main", "help": "branch or commit to compare with (%(default)s)"}}

COMMANDS = {
    "check": Command("assay.cli.repro:check", "check params.yaml: one line for each thing wrong"),
    "plan": Command(
        "assay.cli.repro:plan",
        "say which stages a change reruns, why, and how long they take; runs nothing, needs no data",
        {
            "--since": {"metavar": "REVISION", "help": "compare with the results of this git revision"},
            "--remote": {**FLAG, "dest": "ask_remote", "help": "also ask the default remote what it can restore"},
            "--json": {**FLAG, "dest": "as_json", "help": "print JSON"},
        },
    ),
    "repro": Command("assay.cli.repro:main", "run whatever a change touched, arms side by side, and track it", ON),
    "decide": Command(
        "assay.cli.decide:main",
        "train more seeds where claims are undecided, as long as the time lasts; can be stopped and started at will",
        {
            "--minutes": {"type": _number(True), "default": 60.0, "help": "for further seeds (%(default)s)"},
            "--dry": {**FLAG, "help": "print the plan alone"},
            **ON,
        },
    ),
    "preset": Command(
        "assay.cli.preset:main",
        "rewrite params.yaml by a preset; without a name, list the presets",
        {"name": {"nargs": "?", "help": "of a file in presets/, without .yaml"}},
    ),
    "archive": Command(
        "assay.cli.archive:main",
        "keep a finished run in results/NAME/, in small files that belong in git",
        {
            "name": {"help": "of the folder; a claim that names it as its preset takes its verdict from there"},
            "--note": {"default": "", "help": "what was shortened, for readers"},
            "--force": {**FLAG, "help": "replace another run of this name"},
        },
    ),
    "export": Command(
        "assay.cli.export:main",
        "write a trained network as a plain state dict, for `load_state_dict` of what assay.models.build returns, or a "
        "whole model as ONNX, from raw pixels to probabilities",
        {
            "model": {"type": Path, "metavar": "MODEL_DIR", "help": "a folder such as models/line"},
            "--variant": {"help": "a variant (default: the first), or with --alpha a line or curve"},
            "--alpha": {"type": float, "help": "where on the line or curve, from 0 to 1"},
            "--seed": {"type": int, "help": "whose network (default: the first seed's)"},
            "--member": {"type": int, "help": "which member of a variant, from 0 (default: the first; of ONNX: all)"},
            "--out": {"type": Path, "required": True, "help": "the file to write: .safetensors, .pt, .pth or .onnx"},
            "--data": {
                "type": Path,
                "default": Path("data/prepared"),
                "help": "for normalisation and batch norm (%(default)s)",
            },
            "--sparse": {**FLAG, "help": "leave zeros out; `assay.models.sparse.read` reads such a file"},
        },
        anywhere=True,
    ),
    "init": Command(
        "assay.cli.init:main",
        "write params.yaml for a folder of your own images: a first verdict in minutes",
        {
            "folder": {"type": Path, "metavar": "FOLDER", "help": "with <class>/, train/<class>/ or labels.csv"},
            "--minutes": {"type": _number(False), "default": 10.0, "help": "of training, here (%(default)s)"},
        },
    ),
    "predict": Command(
        "assay.cli.predict:main",
        "classify image files by a trained model: a CSV with the class and the probabilities of each",
        {
            "path": {
                "type": Path,
                "metavar": "FOLDER_OR_FILE",
                "help": "an image, or a folder with all that lie below it",
            },
            "--model": {"default": "champion", "help": "an arm or variant, as line/midpoint (%(default)s: the best)"},
            "--out": {"type": Path, "default": Path("predictions.csv"), "help": "the file to write (%(default)s)"},
        },
    ),
    "experiments": Command("assay.cli.show:experiments", "compare what `dvc exp run` made: what differs"),
    "track": Command("stages.track:main", "write to MLflow what it lacks of the results"),
    "follow": Command(
        "assay.cli.show:follow",
        "stream the curves of running trainings to MLflow",
        {
            "--interval": {"type": _number(False), "default": 2.0, "help": "seconds a look (%(default)s)"},
            "--grace": {"type": _number(True), "default": 60.0, "help": "seconds to wait for a training (%(default)s)"},
        },
    ),
    "ui": Command("assay.cli.show:ui", "open MLflow on what was tracked, at the port that PORT names"),
    "report": Command(
        "assay.cli.show:report",
        "write the report anew from what was evaluated",
        {"--fail-on": {"choices": VERDICTS, "help": "exit with code 1 when a claim has this verdict"}},
    ),
    "readme": Command(
        "assay.report.readme:main",
        "copy the figures of the results into README.md and docs/",
        {"--check": {**FLAG, "help": "change nothing; exit with code 1 when one is out of date"}},
    ),
    "models": Command("assay.cli.show:networks", "print the table of docs/models.md", anywhere=True),
    "ci-plan": Command("assay.cli.ci:plan", "CI: comment which stages the branch reruns; needs no data", BASE),
    "ci-repro": Command("assay.cli.ci:repro", "CI: run those stages, take all else from the DVC remote, push"),
    "ci-commit": Command(
        "assay.cli.ci:commit",
        "CI: commit dvc.lock and the metrics",
        {"--branch": {"required": True, "help": "the branch to push to"}},
    ),
    "ci-track": Command("assay.cli.ci:track", "CI: write to MLflow what it lacks"),
    "ci-report": Command("assay.cli.ci:report", "CI: comment what changed; 1 where a claim regressed", BASE),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand and exit with its code."""
    parser = argparse.ArgumentParser("assay", description="Test what papers on training image classifiers promise.")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, command in COMMANDS.items():
        own = commands.add_parser(name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}.")
        for argument, options in command.arguments.items():
            own.add_argument(argument, **options)
    given = vars(parser.parse_args(arguments))
    name = given.pop("command")
    with one_line_errors():
        if not (COMMANDS[name].anywhere or ROOT.is_file()):
            raise AssayError(f"{Path.cwd()}: no {ROOT} here; run `assay {name}` in the root of the repository")
        _use_library_of_folder()
        gc.set_threshold(100_000, 50, 100)  # DVC's index is a million objects, none of them garbage
        module, _, function = COMMANDS[name].target.partition(":")
        sys.exit(getattr(import_module(module), function)(**given))


def _use_library_of_folder() -> None:
    """Have the stages and the library of this folder run, also where the environment is that of another clone."""
    own = Path("src/assay").resolve()
    if (own / "cli").is_dir() and not own.samefile(Path(__file__).parents[1]):
        path = os.pathsep.join([str(own.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "assay.cli", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path})  # noqa: S606 (no shell is wanted)
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a console script does not have it; `stages` lies there
