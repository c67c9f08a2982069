"""params.yaml as typed, frozen models, parsed as DVC parses it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from assay.core import files
from assay.core.config.blocks import SEEDS_FILE, Blocks, block_name, read_blocks, split_block
from assay.core.config.claim import Claim, Rule
from assay.core.config.parsing import LONGEST_NAME, Section, parse, problem_lines, suggestion, unusable
from assay.core.config.sections import (
    ARM_KEYS,
    BASELINE,
    LOTTERY,
    SGD,
    Adam,
    Arm,
    Augment,
    Constant,
    Cosine,
    Data,
    Lottery,
    Model,
    Optimizer,
    Schedule,
    Seeds,
    Step,
    Train,
    round_name,
)
from assay.core.errors import AssayError
from assay.core.plain import text_of, yaml_of

# the parts of the file that have a module of their own, to be imported from here
__all__ = ["SGD", "Adam", "Constant", "Cosine", "Optimizer", "Schedule", "Section", "Step", "Train"]
__all__ += [
    "ARM_KEYS",
    "BASELINE",
    "LOTTERY",
    "SEEDS_FILE",
    "Arm",
    "Augment",
    "Blocks",
    "Data",
    "Lottery",
    "Model",
    "round_name",
]
PARAMS_FILE = Path("params.yaml")
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=LONGEST_NAME)]


class Params(Section):
    """The whole of params.yaml."""

    seeds: Seeds
    data: Data
    model: Model
    train: Train
    arms: dict[Name, Arm] = Field(default_factory=dict)
    lottery: Lottery = Lottery.model_validate({})
    rule: Rule = Rule()
    claims: tuple[Claim, ...] = Field(default=(), strict=False)

    @model_validator(mode="before")
    @classmethod
    def _values_are_usable(cls, content: dict[str, Any]) -> dict[str, Any]:
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        empty = [name for name in content if name in optional and content[name] is None]
        lines = unusable(content) + [f"{name}: got None; remove the line `{name}:` too, or fill it" for name in empty]
        if lines:
            raise ValueError("\n".join(lines))
        return content

    @model_validator(mode="after")
    def _arms_and_claims(self) -> Params:
        for name, arm in self.arms.items():
            if name in (BASELINE, "round"):  # round-1 would be its first block
                raise ValueError(f"arms.{name}: the name is taken by the pipeline itself; choose another")
            if arm.method == LOTTERY:
                raise ValueError(f"arms.{name}.method: {LOTTERY} is no arm; ask for its rounds under `lottery`")
        known = [run.arm for run in self.runs()]
        ids = [claim.id for claim in self.claims]
        for claim in self.claims:
            if ids.count(claim.id) > 1:
                raise ValueError(f"claims: the id {claim.id!r} stands twice; give each claim its own")
            for side, named in claim.arms.items():
                arm_name = split_variant(named)[0]
                if arm_name not in known:
                    raise ValueError(f"claims.{claim.id}.{side}: no arm {arm_name!r}; there are {', '.join(known)}")
        if self.lottery.rewind >= self.train.steps:
            raise ValueError(f"lottery.rewind: got {self.lottery.rewind}; it must be less than train.steps")
        return self

    def runs(self) -> list[Run]:
        """Every training that the file asks for: the baseline, the arms, then the pruning rounds.

        Raises:
            ValueError: an arm's override is not valid; the message names the key under `arms`.
        """
        shared: dict[str, Any] = {"seeds": self.seeds, "model": self.model, "train": self.train}
        runs = [Run(arm=BASELINE, method="sgd", options={}, **shared)]
        for name, arm in self.arms.items():
            extra = arm.model_extra or {}
            try:  # an optimizer or schedule is replaced as a whole
                train = Train(**dict(self.train) | {key: extra[key] for key in extra if key in Train.model_fields})
            except ValidationError as error:
                raise ValueError("\n".join(problem_lines(Train, error, f"arms.{name}."))) from None
            options = {key: value for key, value in extra.items() if key not in Train.model_fields}
            used: dict[str, Any] = {"seeds": arm.seeds or self.seeds, "model": arm.model or self.model, "train": train}
            used |= {"own": tuple(sorted(arm.model_fields_set)), "label_noise": arm.label_noise, "options": options}
            used["augment"] = arm.augment
            runs.append(Run(arm=name, method=arm.method, **used))
        for number in self.lottery.numbers:
            options = self.lottery.options(number)
            runs.append(Run(arm=round_name(number), method=LOTTERY, options=options, **shared))
        return runs

    def run(self, name: str) -> Run:
        """The training called `name`: `baseline`, an arm, `round-<n>`, or a block of one of them (`hard-1`).

        Raises:
            AssayError: there is none, or seeds.yaml does not fit params.yaml.
        """
        block = split_block(name)[1]
        runs = {run.name: run for run in (block_runs(self) if block else self.runs())}
        if name not in runs:
            where = f"{SEEDS_FILE}: no block" if block else f"{PARAMS_FILE}: no arm or round"
            raise AssayError(f"{where} {name!r}; {suggestion(name, list(runs))}")
        return runs[name]


class Run(Section):
    """What one training needs to know, every override applied: the parameters as resolved for an arm."""

    arm: str
    method: str
    seeds: tuple[int, ...]
    model: Model
    train: Train
    augment: Augment | None = None  # in place of the data's
    label_noise: float = 0.0
    options: dict[str, Any]
    own: tuple[str, ...] = ()  # the keys that stand under the arm itself, so that a message can name the place
    block: int = 0  # of further seeds (seeds.yaml); 0 is the first, with the seeds of params.yaml

    @property
    def name(self) -> str:
        """What its files are called: the arm's name, of a block `<arm>-<block>`."""
        return block_name(self.arm, self.block)

    @property
    def parameters(self) -> dict[str, Any]:
        """What decides its result beside data, method and seeds; without `augment` where it is the data's."""
        left_out = {"arm", "seeds", "method", "own", "block", *(["augment"] if self.augment is None else [])}
        return self.model_dump(mode="json", exclude=left_out)

    @property
    def eval_splits(self) -> tuple[Literal["validation", "test"], ...]:
        """Splits of its curves. Early stops on the test curve are controls; nothing is chosen by them."""
        early_stops = self.arm == BASELINE or self.method == LOTTERY or self.label_noise > 0
        return ("validation", "test") if early_stops else ("validation",)

    @property
    def parents(self) -> list[str]:
        """The arms whose networks it starts from; a round starts from the one before, with early dense weights."""
        return sorted({BASELINE, self.options["after"]}) if self.method == LOTTERY else []

    def digest(self, data: str) -> str:
        """Of everything that decides how long a seed trains: the method, the parameters and the data set's name."""
        return files.content_digest([self.method, self.parameters, data])[:16]

    def place(self, key: str) -> str:
        """Where in params.yaml a key of `model` or `train` stands: under the arm, if it is the arm's own."""
        shared = f"train.{key}" if key in Train.model_fields else key
        return f"{PARAMS_FILE}: {f'arms.{self.arm}.{key}' if key in self.own else shared}"


def block_runs(params: Params, blocks: Blocks | None = None) -> list[Run]:
    """The runs of all blocks, by default those of seeds.yaml.

    Raises:
        AssayError: seeds.yaml cannot be read, or does not fit params.yaml; one line each.
    """
    found, runs = read_blocks() if blocks is None else blocks, params.runs()
    if problems := found.problems(runs):
        raise AssayError("\n".join(f"{SEEDS_FILE}: {line}" for line in problems))
    return [
        run.model_copy(update={"block": number, "seeds": found.seeds[name]})
        for run in runs
        for number, name in enumerate(found.of(run.arm), start=1)
    ]


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check params.yaml.

    Raises:
        AssayError: the file is missing, is not YAML, or holds an unknown key or a bad value; one line each.
    """
    return parse(Params, yaml_of(text_of(path), str(path)), str(path))


def split_variant(name: str) -> tuple[str, str | None]:
    """`line/midpoint` as arm and variant; the variant is None where only an arm is named (its first is meant)."""
    arm, _, variant = name.partition("/")
    return arm, variant or None
