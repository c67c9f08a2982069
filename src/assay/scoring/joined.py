"""The evaluations of an arm's blocks as one: what a single evaluation of all its seeds would be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from assay.core.config.blocks import block_name
from assay.core.errors import AssayError
from assay.scoring import merging, predictions
from assay.scoring.metrics import reliability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assay.scoring.record import Evaluation

ALIKE = ("arm", "method", "model", "parameters", "data", "data_digest", "class_counts")  # in all blocks of an arm


def together(parts: Sequence[Evaluation]) -> Evaluation:
    """The evaluation of an arm with all its seeds.

    Args:
        parts: of its first seeds, then of its blocks.

    Raises:
        AssayError: a block was trained or evaluated otherwise than the first seeds.
    """
    first, records = parts[0].record, [part.record for part in parts]
    for one in records:
        differs = [field for field in ALIKE if getattr(one, field) != getattr(first, field)]
        if differs:
            where = f"metrics/evaluate/{block_name(one.arm, one.block)}.json"
            raise AssayError(f"{where}: its {differs[0]} is not that of {first.arm}; run `dvc repro`")
    if len(parts) == 1:
        return parts[0]
    answers = {name: predictions.joined([part.predictions[name] for part in parts]) for name in first.variants}
    dumps = [one.model_dump(include={"variants", "record", "sweeps"}) for one in records]
    merged = merging.together(dumps, [len(one.seeds) for one in records])
    for name, own in merged["variants"].items():
        own["reliability"] = reliability(answers[name])
    content = {**first.model_dump(), **merged, "seeds": [seed for one in records for seed in one.seeds]}
    return replace(parts[0], record=type(first).model_validate(content), predictions=answers)
