"""`metrics/seeds.csv`: a row for each arm, variant and seed, with every number that a claim can be about.

Git holds it, so branches are compared by what two commits say, without evaluations or predictions.
"""

from __future__ import annotations

import csv
import io
import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from assay.analysis.samples import ClaimArm, values
from assay.core.config.claim import RECORD
from assay.core.errors import AssayError
from assay.core.plain import csv_of
from assay.scoring.metrics import METRICS, RECALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from assay.core.config.claim import Claim
    from assay.scoring.record import Evaluation

PATH = Path("metrics/seeds.csv")
KEYS = ("arm", "variant", "seed", "data")
AGAIN = "take it from git again, or delete it and run `dvc repro compare`"
DECIMALS = 6


class Seeds(NamedTuple):
    """The results of a variant by seed, then by metric (None: no such number), and the start of the data's digest."""

    data: str
    numbers: dict[int, dict[str, float | None]]

    def of(self, metric: str) -> dict[int, float]:
        """A metric by seed; empty unless each seed has it."""
        found = {seed: row.get(metric) for seed, row in self.numbers.items()}
        return {seed: value for seed, value in found.items() if value is not None} if None not in found.values() else {}


def text(evaluations: Mapping[str, Evaluation], claims: Iterable[Claim]) -> str:
    """The file's text: all of `METRICS`, and what the claims of params.yaml name of classes or a method's record."""
    families = RECALL, RECORD
    recorded = sorted({str(claim.metric) for claim in claims if str(claim.metric).startswith(families)})
    metrics = [*METRICS, *recorded]
    lines: list[list[str]] = []
    for evaluation in evaluations.values():
        record = evaluation.record
        for variant in record.variants:
            side = ClaimArm(record, variant, evaluation.predictions[variant], "")
            columns: dict[str, list[str]] = {}
            for metric in metrics:
                columns[metric] = [""] * len(record.seeds)  # where a variant has no such number
                with suppress(AssayError):
                    columns[metric] = ["" if math.isnan(value) else written(value) for value in values(metric, side)]
            keys = [[record.arm, variant, str(seed), record.data_digest[:12]] for seed in record.seeds]
            lines += [[*own, *cells] for own, *cells in zip(keys, *columns.values(), strict=True)]
    return csv_of([*KEYS, *metrics], lines)


def written(value: float) -> str:
    """A number as the tables in git have it."""
    return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")


def parse(content: str, where: str, again: str = AGAIN) -> dict[str, Seeds]:
    """The results in the text of a file, by `<arm>/<variant>`.

    Raises:
        AssayError: it is not such a table; the message names `where` and ends in `again`, what to do.
    """
    found: dict[str, Seeds] = {}
    try:
        for line in csv.DictReader(io.StringIO(content), strict=True):
            arm, variant, seed, data = (line.pop(key) for key in KEYS)
            own = found.setdefault(f"{arm}/{variant}", Seeds(data, {}))
            own.numbers[int(seed)] = {metric: float(cell) if cell else None for metric, cell in line.items()}
        if content and not found:
            raise ValueError("no row")  # noqa: TRY301
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise AssayError(f"{where}: not a table of seeds ({error!r}); {again}") from None
    return found
