"""Check params.yaml; write down in metrics/plan.json what is claimed and how it is decided, before anything trains.

And in metrics/networks.json the digest of the source of each arm's and round's network, on which its training depends.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay import models
from assay.analysis.registration import PATH, Registration, is_result, register
from assay.core import config, files
from assay.core.errors import start
from assay.methods import checks
from assay.scoring import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assay.analysis.registration import Entry

RECORDS, TIMINGS = Path("metrics/evaluate"), Path("metrics/timings.json")


def main() -> None:
    """Register the claims of params.yaml; what is registered in the last commit and in the file itself is known.

    This stage runs first, so that a mistake in any arm or claim is found before hours of training.
    """
    params = config.load()
    metrics.check(params.claims, params.rule)
    runs = {arm: training.run for arm, training in checks.check(params).items()}
    data, digests = params.data.name, {}
    there = [arm for arm, run in runs.items() if is_result(read(RECORDS / f"{arm}.json"), run, data)]
    # a fresh clone has no evaluations, but git holds which trainings the last comparison saw
    with suppress(AttributeError):
        digests = {arm: timing.get("run") for arm, timing in read(TIMINGS).items()}
    there += [run.arm for run in params.runs() if digests.get(run.arm) == run.digest(data)]
    made = register(params.claims, params.rule, runs, there, list(registered()))
    files.write_json(PATH, made.model_dump(mode="json"))
    files.write_json(Path(models.DIGESTS), {"networks": models.digests(runs.values())})


def read(path: Path) -> Any:
    """The content of a JSON file; None where there is none, or it is damaged."""
    with suppress(OSError, ValueError):
        return files.read_json(path)
    return None


def registered() -> Iterator[Entry]:
    """The entries of the last commit, then those of the file itself; none without git, or where it is damaged."""
    with suppress(OSError, ValueError):
        done = subprocess.run(["git", "show", f"HEAD:./{PATH}"], capture_output=True, check=False)
        yield from Registration.model_validate_json(done.stdout).claims.values()
    with suppress(OSError, ValueError):
        yield from Registration.model_validate_json(PATH.read_bytes()).claims.values()


if __name__ == "__main__":
    start(main)
