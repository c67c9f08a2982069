"""seeds.yaml: blocks of seeds that the baseline, arms and pruning rounds have beyond those of params.yaml.

Block b of an arm is named `<arm>-<b>`, from 1; it is trained and evaluated by stages of its own, and the blocks of an
arm are put together where its results are read. Together they have the first seeds of one sequence: those of
params.yaml, then the numbers above their maximum.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from assay.core.config.parsing import Section, parse, suggestion
from assay.core.config.sections import BASELINE, Seeds
from assay.core.plain import text_of, yaml_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from assay.core.config import Run

SEEDS_FILE = Path("seeds.yaml")
ROUND = re.compile(r"round-(\d+)")
BLOCK = re.compile(r"(round-\d+|(?!round-)[A-Za-z][A-Za-z0-9_]*)-([1-9]\d*)")


class Block(Section):
    """A block, with what its stage in dvc.yaml needs to know beside the seeds."""

    arm: str | None = None  # of a block of an arm, as its method
    method: str | None = None
    after: str | None = None  # of a block of a pruning round: the trained block that it starts from
    dense: str | None = None  # and the block of the baseline whose early weights it takes
    seeds: Seeds

    def __str__(self) -> str:
        fields = {**self.model_dump(exclude_none=True), "seeds": list(self.seeds)}
        return f"{{{', '.join(f'{name}: {value}' for name, value in fields.items())}}}"


class Blocks(Section):
    """The whole of seeds.yaml."""

    more: dict[str, Block] = Field(default_factory=dict)
    more_baseline: dict[str, Block] = Field(default_factory=dict)
    more_rounds: dict[str, Block] = Field(default_factory=dict)

    @property
    def seeds(self) -> dict[str, tuple[int, ...]]:
        """The seeds of each block, by its name (`hard-1`, `baseline-1`, `round-7-1`), the baseline's first."""
        rounds = {f"round-{key}": block for key, block in self.more_rounds.items()}
        return {name: block.seeds for name, block in {**self.more_baseline, **self.more, **rounds}.items()}

    def of(self, arm: str) -> list[str]:
        """The names of an arm's blocks, in their order."""
        return sorted((name for name in self.seeds if split_block(name)[0] == arm), key=split_block)

    def total(self, run: Run) -> int:
        """How many seeds an arm has with all its blocks."""
        return len(run.seeds) + sum(len(self.seeds[name]) for name in self.of(run.arm))

    def with_block(self, run: Run, seeds: Sequence[int], number: int) -> Blocks:
        """These, and one more of an arm."""
        kind, key = _place(run.arm, number)
        return self.model_copy(update={kind: {**getattr(self, kind), key: _block(run, seeds, number)}})

    def text(self) -> str:
        """The file's content."""
        lines = [
            "# Seeds beyond those of params.yaml, in blocks (docs/decisions/0016): `make decide` writes this file."
        ]
        for kind in Blocks.model_fields:
            entries = getattr(self, kind)
            lines.append(f"{kind}:" if entries else f"{kind}: {{}}")
            lines += [f'  "{key}": {block}' for key, block in entries.items()]
        return "\n".join([*lines, ""])

    def problems(self, runs: Iterable[Run]) -> list[str]:
        """One line for each thing that does not fit params.yaml, whose `runs` are those without blocks."""
        by_arm, found, unknown = {run.arm: run for run in runs}, [], []
        for kind, form in {"more": "hard-1", "more_baseline": "baseline-1", "more_rounds": "7-1"}.items():
            for key in getattr(self, kind):
                arm, number = split_block(f"round-{key}" if kind == "more_rounds" else key)
                if not number or _place(arm, number) != (kind, key):
                    found.append(f"{kind}.{key}: not the name of a block here; it should be like {form}")
                elif arm not in by_arm:
                    allowed = suggestion(arm, list(by_arm))
                    unknown.append(f"{kind}.{key}: params.yaml has no {arm!r}; remove the block, or {allowed}")
        if len(unknown) > 1:  # arms were removed
            named = ", ".join(line.partition(":")[0] for line in unknown)
            unknown = [f"{named}: params.yaml has none of these arms; remove the blocks (`more: {{}}`: there are none)"]
        found += unknown
        for run in by_arm.values() if not found else ():
            have = len(run.seeds)
            for number, name in enumerate(self.of(run.arm), start=1):
                kind, key = _place(*split_block(name))
                block = getattr(self, kind)[key]
                sequence = canonical(by_arm[BASELINE].seeds, have + len(block.seeds))
                missing = [one for one in (block.after, block.dense) if one and self.seeds.get(one) != block.seeds]
                if name != block_name(run.arm, number):
                    wrong = f"comes without block {number} before it; blocks count from 1"
                elif run.seeds != sequence[: len(run.seeds)]:
                    wrong = f"arms.{run.arm}.seeds are its own, so it takes no blocks; drop one of the two"
                elif run.train.tune is not None:
                    wrong = f"{run.arm} has {TUNED}"
                elif block != (expected := _block(run, sequence[have:], number)):
                    wrong = f"got {block}; it should be {expected}"
                elif missing:
                    wrong = f"starts from {missing[0]}, which must be a block of the same seeds; add it"
                else:
                    have += len(block.seeds)
                    continue
                found.append(f"{kind}.{key}: {wrong}")
                break  # what follows in this arm is a consequence
        return found


NO_BLOCKS = Blocks()
TUNED = "`tune`: all its seeds choose one learning rate, so it takes no blocks; give more `seeds` in params.yaml"


def read_blocks(path: Path = SEEDS_FILE) -> Blocks:
    """Read seeds.yaml; without one there are no blocks.

    Raises:
        AssayError: it is not YAML, or holds something else; a line each.
    """
    if not path.exists():
        return NO_BLOCKS
    return parse(Blocks, yaml_of(text_of(path), str(path)), str(path))


def canonical(first: Sequence[int], count: int) -> tuple[int, ...]:
    """The first `count` seeds of the sequence: these, then the numbers above their maximum."""
    after = max(first) + 1
    return (*first, *range(after, after + count))[:count]


def split_block(name: str) -> tuple[str, int]:
    """`hard-1` as the arm and the number of the block; 0 where only an arm, the baseline or a round is named."""
    found = BLOCK.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, 0)


def block_name(arm: str, block: int) -> str:
    """What the files of an arm's block are called; those of its first seeds have the arm's own name."""
    return f"{arm}-{block}" if block else arm


def stages_of(name: str) -> tuple[str, str]:
    """The stages of dvc.yaml that train and evaluate an arm, `baseline` or `round-<n>`, or a block of one."""
    arm, block = split_block(name)
    _, train, evaluate = _kind(arm)
    more = f"{'_more' if block else ''}@{name.removeprefix('round-')}" if name != BASELINE else ""
    return f"{train}{more}", f"{evaluate}{more}"


def arm_of_block(stage: str) -> str:
    """The arm whose block a stage of dvc.yaml trains or evaluates; empty where it is another stage."""
    kind, _, key = stage.partition("_more@")
    return split_block(f"round-{key}" if kind in ("prune", "evaluate_round") else key)[0] if key else ""


def _kind(arm: str) -> tuple[str, str, str]:
    """The section of seeds.yaml that holds an arm's blocks, and what its stages are called."""
    if arm == BASELINE:
        return "more_baseline", "baseline", "evaluate_baseline"
    return ("more_rounds", "prune", "evaluate_round") if ROUND.fullmatch(arm) else ("more", "train", "evaluate")


def _place(arm: str, number: int) -> tuple[str, str]:
    """The section of seeds.yaml that holds a block, and its key there."""
    return _kind(arm)[0], block_name(arm, number).removeprefix("round-")


def _block(run: Run, seeds: Sequence[int], number: int) -> Block:
    """A block of a run, as seeds.yaml must have it."""
    names = {"arm": run.arm, "method": run.method}
    if ROUND.fullmatch(run.arm):
        names = {"after": block_name(run.options["after"], number), "dense": block_name(BASELINE, number)}
    elif run.arm == BASELINE:
        names = {}
    return Block(**names, seeds=tuple(seeds))
