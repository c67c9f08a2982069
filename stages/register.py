"""Write down in metrics/plan.json what is claimed and how it is decided, before anything trains."""

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
from assay.core.errors import one_line_errors
from assay.scoring import metrics

RECORDS, TIMINGS = Path("metrics/evaluate"), Path("metrics/timings.json")


def main() -> None:
    """Register the claims of params.yaml; what is registered in the last commit and in the file itself is known.

    Raises:
        AssayError: params.yaml is wrong.
    """
    settings = config.read("seeds", "data", "model", "train", "arms", "lottery", "claims", "rule")
    rounds = [settings.round(number) for number in settings.lottery.numbers]
    plain = [settings.baseline(), *(settings.arm(name) for name in settings.arms), *rounds]
    runs = {run.arm: methods.product(run).run for run in plain}
    data, trained = settings.data.name, read(TIMINGS)
    there = [arm for arm, run in runs.items() if is_result(read(RECORDS / f"{arm}.json"), run, data)]
    # a fresh clone has no evaluations, but git holds which trainings the last comparison saw
    there += [run.arm for run in plain if is_trained(trained, run.arm, run.digest(data))]
    metrics.check(settings.claims, settings.rule)
    made = register(settings.claims, settings.rule, runs, there, [*committed(), *entries(read(PATH))])
    files.write_json(PATH, made.model_dump(mode="json"))


def read(path: Path) -> Any:
    """The content of a JSON file; None where there is none, or it is damaged."""
    with suppress(OSError, ValueError):
        return files.read_json(path)
    return None


def is_trained(timings: Any, arm: str, digest: str) -> bool:
    """Whether metrics/timings.json lists a training of an arm with this digest."""
    timing = timings.get(arm) if isinstance(timings, dict) else None
    return isinstance(timing, dict) and timing.get("run") == digest


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
    with one_line_errors():
        main()
