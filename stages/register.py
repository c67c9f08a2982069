"""Write down in metrics/plan.json what is claimed and how it is decided, before anything trains.

And in metrics/networks.json the digest of the source of each arm's network, on which its training depends.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from assay import methods, models
from assay.analysis.registration import PATH, Entry, Registration, is_result, register
from assay.core import config, files
from assay.core.errors import one_line_errors
from assay.scoring import metrics

RECORDS = Path("metrics/evaluate")


def main() -> None:
    """Register the claims of params.yaml; what is registered in the last commit and in the file itself is known.

    Raises:
        AssayError: params.yaml is wrong.
    """
    settings = config.read("seeds", "data", "model", "train", "arms", "lottery", "claims", "rule")
    arms = [settings.baseline(), *(settings.arm(name) for name in settings.arms)]
    rounds = [settings.round(number) for number in settings.lottery.numbers]
    runs = {run.arm: methods.product(run).run for run in (*arms, *rounds)}
    there = [arm for arm, run in runs.items() if is_result(read(RECORDS / f"{arm}.json"), run, settings.data.name)]
    metrics.check(settings.claims, settings.rule)
    made = register(settings.claims, settings.rule, runs, there, [*committed(), *entries(read(PATH))])
    files.write_json(PATH, made.model_dump(mode="json"))
    files.write_json(Path(models.DIGESTS), {"networks": models.digests(arms)})


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
    with one_line_errors():
        main()
