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

from assay.core.config.lottery import BASELINE
from assay.core.config.parsing import Section, parse, suggestion
from assay.core.config.sections import Seeds  # noqa: TC001 (pydantic reads annotations at run time)
from assay.core.plain import text_of, yaml_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from assay.core.config import Run

SEEDS_FILE = Path("seeds.yaml")
ROUND = re.compile(r"round-(\d+)")
BLOCK = re.compile(r"(round-\d+|(?!round-)[A-Za-z][A-Za-z0-9_]*)-([1-9]\d*)")


class ArmBlock(Section):
    """A block of an arm; dvc.yaml needs its method's name."""

    arm: str
    method: str
    seeds: Seeds


class BaselineBlock(Section):
    """A block of the baseline."""

    seeds: Seeds


class RoundBlock(Section):
    """A block of a pruning round: the trained blocks that it starts from and takes the early weights of."""

    after: str
    dense: str
    seeds: Seeds


class Blocks(Section):
    """The whole of seeds.yaml."""

    more: dict[str, ArmBlock] = Field(default_factory=dict)
    more_baseline: dict[str, BaselineBlock] = Field(default_factory=dict)
    more_rounds: dict[str, RoundBlock] = Field(default_factory=dict)

    @property
    def seeds(self) -> dict[str, tuple[int, ...]]:
        """The seeds of each block, by its name (`hard-1`, `baseline-1`, `round-7-1`), the baseline's first."""
        return {
            **{name: block.seeds for name, block in self.more_baseline.items()},
            **{name: block.seeds for name, block in self.more.items()},
            **{f"round-{key}": block.seeds for key, block in self.more_rounds.items()},
        }

    def of(self, arm: str) -> list[str]:
        """The names of an arm's blocks, in their order."""
        return sorted((name for name in self.seeds if split_block(name)[0] == arm), key=lambda name: split_block(name))

    def total(self, run: Run) -> int:
        """How many seeds an arm has with all its blocks."""
        return len(run.seeds) + sum(len(self.seeds[name]) for name in self.of(run.arm))

    def with_block(self, run: Run, seeds: Sequence[int], number: int) -> Blocks:
        """These, and one more of an arm."""
        kind, key = _place(run.arm, number)
        entries = {
            "more": lambda: ArmBlock(arm=run.arm, method=run.method, seeds=tuple(seeds)),
            "more_baseline": lambda: BaselineBlock(seeds=tuple(seeds)),
            "more_rounds": lambda: RoundBlock(**_chain(run, number), seeds=tuple(seeds)),
        }
        return self.model_copy(update={kind: {**getattr(self, kind), key: entries[kind]()}})

    def text(self) -> str:
        """The file's content."""
        lines = [
            "# Seeds beyond those of params.yaml, in blocks (docs/decisions/0016): `make decide` writes this file."
        ]
        for kind in Blocks.model_fields:
            entries = getattr(self, kind)
            lines.append(f"{kind}:" if entries else f"{kind}: {{}}")
            for key, block in entries.items():
                fields = [f"{name}: {value}" for name, value in block.model_dump(exclude={"seeds"}).items()]
                lines.append(f'  "{key}": {{{", ".join([*fields, f"seeds: {list(block.seeds)}"])}}}')
        return "\n".join([*lines, ""])

    def problems(self, runs: Iterable[Run]) -> list[str]:
        """One line for each thing that does not fit params.yaml.

        Args:
            runs: of the baseline, the arms and the rounds, without blocks; the baseline's seeds begin the sequence.
        """
        by_arm = {run.arm: run for run in runs}
        found = [
            f"{kind}.{key}: {problem}"
            for kind in Blocks.model_fields
            for key, block in getattr(self, kind).items()
            if (problem := _misplaced(kind, key, block, by_arm))
        ]
        return found or [line for run in by_arm.values() for line in self._out_of_order(run, by_arm)]

    def _out_of_order(self, run: Run, by_arm: dict[str, Run]) -> list[str]:
        """What is wrong with the numbers and seeds of an arm's blocks."""
        have = len(run.seeds)
        for expected, name in enumerate(self.of(run.arm), start=1):
            kind, key = _place(*split_block(name))
            if name != f"{run.arm}-{expected}":
                return [f"{kind}.{key}: comes without block {expected} before it; blocks count from 1"]
            seeds = self.seeds[name]
            sequence = canonical(by_arm[BASELINE].seeds, have + len(seeds))
            if run.seeds != sequence[: len(run.seeds)]:
                return [f"{kind}.{key}: arms.{run.arm}.seeds are its own, so it takes no blocks; drop one of the two"]
            if run.train.tune is not None:
                return [f"{kind}.{key}: {run.arm} has {TUNED}"]
            if seeds != sequence[have:]:
                return [f"{kind}.{key}.seeds: got {list(seeds)}; the next of {run.arm} are {list(sequence[have:])}"]
            have += len(seeds)
            if kind == "more_rounds":
                missing = [one for one in _chain(run, expected).values() if self.seeds.get(one) != seeds]
                if missing:
                    return [f"{kind}.{key}: starts from {missing[0]}, which must be a block of the same seeds; add it"]
        return []


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
    more = "_more" if block else ""
    if arm == BASELINE:
        key = f"@{name}" if block else ""
        return f"baseline{more}{key}", f"evaluate_baseline{more}{key}"
    if ROUND.fullmatch(arm):
        key = name.removeprefix("round-")
        return f"prune{more}@{key}", f"evaluate_round{more}@{key}"
    return f"train{more}@{name}", f"evaluate{more}@{name}"


def arm_of_block(stage: str) -> str:
    """The arm whose block a stage of dvc.yaml trains or evaluates; empty where it is another stage."""
    kind, _, key = stage.partition("_more@")
    return split_block(f"round-{key}" if kind in ("prune", "evaluate_round") else key)[0] if key else ""


def _place(arm: str, number: int) -> tuple[str, str]:
    """The section of seeds.yaml that holds a block, and its key there."""
    name = block_name(arm, number)
    if arm == BASELINE:
        return "more_baseline", name
    return ("more_rounds", name.removeprefix("round-")) if ROUND.fullmatch(arm) else ("more", name)


def _chain(run: Run, number: int) -> dict[str, str]:
    """What a block of a round starts from, and the dense training whose early weights it takes."""
    return {"after": block_name(run.options["after"], number), "dense": block_name(BASELINE, number)}


def _misplaced(kind: str, key: str, block: ArmBlock | BaselineBlock | RoundBlock, by_arm: dict[str, Run]) -> str:
    """What is wrong with a block's name or what it names; empty if nothing is."""
    arm, number = split_block(f"round-{key}" if kind == "more_rounds" else key)
    if not number or _place(arm, number)[0] != kind:
        form = {"more": "hard-1", "more_baseline": "baseline-1", "more_rounds": "7-1"}[kind]
        return f"not the name of a block here; it should be like {form}"
    if arm not in by_arm:
        return f"params.yaml has no {arm!r}; remove the block, or {suggestion(arm, list(by_arm))}"
    run = by_arm[arm]
    if isinstance(block, ArmBlock) and (block.arm, block.method) != (arm, run.method):
        return f"says arm {block.arm}, method {block.method}; it should say {arm}, {run.method}"
    if isinstance(block, RoundBlock):
        expected = _chain(run, number)
        if block.model_dump(exclude={"seeds"}) != expected:
            return f"must start {', '.join(f'{name} {value}' for name, value in expected.items())}"
    return ""
