"""Check params.yaml; write down in metrics/plan.json what is claimed and how it is decided, before anything trains."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from assay import methods
from assay.analysis.registration import PATH, Entry, Registration, is_result, register
from assay.core import config, files
from assay.core.errors import start
from assay.scoring import metrics

RECORDS = Path("metrics/evaluate")


def main() -> None:
    """Register the claims of params.yaml; what is registered in the last commit and in the file itself is known.

    This stage runs first, so that a mistake in any arm or claim is found before hours of training.

    Raises:
        AssayError: params.yaml is wrong.
    """
    params = config.load()
    metrics.check(params.claims, params.rule)
    methods.check(params)
    runs = {run.arm: methods.resolve(run).run for run in params.runs()}
    there = [arm for arm, run in runs.items() if is_result(read(RECORDS / f"{arm}.json"), run, params.data.name)]
    made = register(params.claims, params.rule, runs, there, [*committed(), *entries(read(PATH))])
    files.write_json(PATH, made.model_dump(mode="json"))


def read(path: Path) -> Any:
    """The content of a JSON file; None where there is none, or it is damaged."""
    with suppress(OSError, ValueError):
        return files.read_json(path)
    return None


def committed() -> list[Entry]:
    """What the last commit has registered; nothing without git."""
    with suppress(OSError, ValueError):
        done = subprocess.run(["git", "show", f"HEAD:./{PATH}"], capture_output=True, text=True, check=False)
        return entries(json.loads(done.stdout))
    return []


def entries(content: Any) -> list[Entry]:
    """What a file has registered; nothing where it is damaged."""
    with suppress(ValidationError):
        return list(Registration.model_validate(content).claims.values())
    return []


if __name__ == "__main__":
    start(main)
