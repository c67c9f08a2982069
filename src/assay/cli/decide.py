"""Train more seeds of the arms whose claims are undecided, as long as the time lasts: `python -m assay.cli.decide`.

It can be stopped and started at will: what it decided to train stands in seeds.yaml, and DVC knows what is done.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from assay.analysis.claims import PATH, ClaimRecord
from assay.cli import check
from assay.cli.costing import Costing
from assay.cli.deciding import Deciding, Open, decided, table
from assay.core import config, files
from assay.core.config import SEEDS_FILE, Blocks
from assay.core.config.blocks import read_blocks
from assay.core.errors import AssayError, one_line_errors
from assay.pipeline import plan, side_by_side, wording


def main(minutes: float, dry: bool) -> None:
    """Run the pipeline, then take looks until each claim is decided or the time is over; with `dry`, say what would be.

    Args:
        minutes: for further seeds, once the pipeline is up to date.
        dry: print the plan alone, and change nothing.

    Raises:
        AssayError: a file is wrong, or a stage fails.
    """
    root = Path.cwd()
    if dry:
        stale = plan.make(root, costs=Costing(root, config.load()).by_stage)
        if stale.steps or any(source is None for source in stale.missing.values()):
            print(f"First the pipeline: {wording.headline(stale)}.\n")
        print(_plan(*_open(root)[:2]))
        return
    check.main()
    side_by_side.reproduce(root, Costing(root, config.load()).by_stage)
    end = time.monotonic() + 60 * minutes
    before = {one.id: one.verdict for one in _records(root)}
    while True:
        found, blocks, deciding = _open(root)
        left = end - time.monotonic()
        together, taken = deciding.chosen(found, blocks, left)
        if not taken:
            break
        names = sorted(together.seeds.keys() - blocks.seeds.keys())
        print(f"{_plan(found, blocks)}\n\n{wording.duration(left)} are left. Now, in about", end=" ")
        print(f"{wording.duration(deciding.seconds(together, blocks))}: {', '.join(one.record.id for one in taken)}")
        print(f"Further seeds: {', '.join(names)}", flush=True)
        files.write_text(root / SEEDS_FILE, together.text())
        side_by_side.reproduce(root, Costing(root, config.load()).by_stage)
    lines = decided(before, _records(root))
    print("\n".join([f"\nDecided now: {len(lines)}", *(f"  {line}" for line in lines)]))
    print(_plan(found, blocks))


def _open(root: Path) -> tuple[list[Open], Blocks, Deciding]:
    params, blocks = config.load(), read_blocks()
    deciding = Deciding(params, Costing(root, params).of, side_by_side.jobs())
    return deciding.open(_records(root), blocks), blocks, deciding


def _records(root: Path) -> list[ClaimRecord]:
    path = root / PATH
    try:
        return [ClaimRecord.model_validate(one) for one in files.read_json(path)] if path.is_file() else []
    except (ValueError, TypeError):
        raise AssayError(f"{PATH}: not a list of claims; delete it and run `make repro`") from None


def _plan(found: list[Open], blocks: Blocks) -> str:
    """What is undecided, with what it would take."""
    if not found:
        return "No claim is undecided." if PATH.is_file() else "No claim was decided yet: `make repro` does that."
    have = f"; {len(blocks.seeds)} blocks of further seeds are listed in {SEEDS_FILE}" if blocks.seeds else ""
    return f"Undecided: {len(found)}{have}\n{table(found)}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="for further seeds (%(default)s)")
    parser.add_argument("--dry", action="store_true", help="print the plan alone")
    arguments = parser.parse_args()
    if not arguments.minutes >= 0:
        parser.error("--minutes must be a number, 0 or more")
    with one_line_errors():
        main(arguments.minutes, arguments.dry)
