"""params.yaml as typed, frozen models, parsed as DVC parses it.

A stage sees only the sections that it asks `read` for. dvc.yaml must declare the same; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from assay.core import files
from assay.core.config.blocks import SEEDS_FILE, Blocks, block_name, read_blocks
from assay.core.config.budget import SGD, Adam, Constant, Cosine, Optimizer, Schedule, Step, Train
from assay.core.config.claim import Claim, Rule
from assay.core.config.lottery import BASELINE, NO_ROUNDS, Lottery, round_name
from assay.core.config.parsing import LONGEST_NAME, Section, parse, problem_lines, suggestion, unusable
from assay.core.config.sections import ARM_KEYS, Arm, Data, Model, Seeds
from assay.core.errors import AssayError
from assay.core.plain import text_of, yaml_of

# the parts of the file that have a module of their own, to be imported from here
__all__ = ["SGD", "Adam", "Constant", "Cosine", "Optimizer", "Schedule", "Section", "Step", "Train"]
__all__ += ["ARM_KEYS", "BASELINE", "SEEDS_FILE", "Arm", "Blocks", "Data", "Lottery", "Model", "round_name"]
PARAMS_FILE = Path("params.yaml")
LOTTERY = "lottery"
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=LONGEST_NAME)]


class Params(Section):
    """The whole of params.yaml."""

    seeds: Seeds
    data: Data
    model: Model
    train: Train
    arms: dict[Name, Arm] = Field(default_factory=dict)
    lottery: Lottery = NO_ROUNDS
    rule: Rule = Rule()
    claims: tuple[Claim, ...] = Field(default=(), strict=False)

    @model_validator(mode="before")
    @classmethod
    def _values_are_usable(cls, content: dict[str, Any]) -> dict[str, Any]:
        if lines := unusable(content):
            raise ValueError("\n".join(lines))
        return content

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _distinct_seeds(value)

    @model_validator(mode="after")
    def _arms_and_claims(self) -> Params:
        for name, arm in self.arms.items():
            if name in (BASELINE, "round"):  # round-1 would be its first block
                raise ValueError(f"arms.{name}: the name is taken by the pipeline itself; choose another")
            if arm.method == LOTTERY:
                raise ValueError(f"arms.{name}.method: {LOTTERY} is no arm; ask for its rounds under `lottery`")
            if arm.seeds is not None:
                _distinct_seeds(arm.seeds, f"arms.{name}.")
            train_of(self.train, arm, name)
        known = [BASELINE, *self.arms, *self.rounds()]
        for claim in self.claims:
            for side, named in claim.arms.items():
                arm_name = split_variant(named)[0]
                if arm_name not in known:
                    raise ValueError(f"claims.{claim.id}.{side}: no arm {arm_name!r}; there are {', '.join(known)}")
        ids = [claim.id for claim in self.claims]
        if twice := [name for name in ids if ids.count(name) > 1]:
            raise ValueError(f"claims: the id {twice[0]!r} stands twice; give each claim its own")
        if self.lottery.rewind >= self.train.steps:
            raise ValueError(f"lottery.rewind: got {self.lottery.rewind}; it must be less than train.steps")
        return self

    def rounds(self) -> list[str]:
        """The names of the pruning rounds."""
        return self.lottery.names

    def runs(self) -> list[Run]:
        """Every training that the file asks for: the baseline, the arms, then the pruning rounds."""
        arms = [arm_run(name, arm, self.seeds, self.model, self.train) for name, arm in self.arms.items()]
        own = (self.seeds, self.model, self.train)
        rounds = [round_run(n, self.lottery, *own) for n in self.lottery.numbers]
        return [baseline_run(*own), *arms, *rounds]


class Run(Section):
    """What one training needs to know, every override applied: the parameters as resolved for an arm.

    Attributes:
        own: the keys that stand under the arm itself, so that a message can name the place.
        block: which block of further seeds it trains (seeds.yaml); 0 is the first, with the seeds of params.yaml.
    """

    arm: str
    method: str
    seeds: tuple[int, ...]
    model: Model
    train: Train
    label_noise: float = 0.0
    options: dict[str, Any]
    own: tuple[str, ...] = ()
    block: int = 0

    @property
    def name(self) -> str:
        """What its files are called: the arm's name, of a block `<arm>-<block>`."""
        return block_name(self.arm, self.block)

    @property
    def parameters(self) -> dict[str, Any]:
        """What decides its result beside data, method and seeds."""
        return self.model_dump(mode="json", exclude={"arm", "seeds", "method", "own", "block"})

    def digest(self, data: str) -> str:
        """Of everything that decides how long a seed trains: the method, the parameters and the data set's name."""
        return files.content_digest([self.method, self.parameters, data])[:16]

    def place(self, key: str) -> str:
        """Where in params.yaml a key of `model` or `train` stands: under the arm, if it is the arm's own."""
        shared = f"train.{key}" if key in Train.model_fields else key
        return f"{PARAMS_FILE}: {f'arms.{self.arm}.{key}' if key in self.own else shared}"


def baseline_run(seeds: tuple[int, ...], model: Model, train: Train) -> Run:
    """The baseline: plain gradient training under the shared budget."""
    return Run(arm=BASELINE, method="sgd", seeds=seeds, model=model, train=train, options={})


def arm_run(name: str, arm: Arm, seeds: tuple[int, ...], model: Model, train: Train) -> Run:
    """An arm with every override applied."""
    return Run(
        arm=name,
        method=arm.method,
        seeds=arm.seeds or seeds,
        model=arm.model or model,
        train=train_of(train, arm, name),
        label_noise=arm.label_noise,
        options=arm.options(),
        own=tuple(sorted(arm.model_fields_set)),
    )


def round_run(number: int, lottery: Lottery, seeds: tuple[int, ...], model: Model, train: Train) -> Run:
    """A pruning round: the shared budget, and what `lottery` says of this round."""
    options = lottery.options(number)
    return Run(arm=round_name(number), method=LOTTERY, seeds=seeds, model=model, train=train, options=options)


class Settings:
    """The sections of params.yaml that a stage asked for; touching another is a programming error."""

    def __init__(self, params: Params, names: tuple[str, ...]) -> None:
        self._params, self._names = params, names

    def _get(self, name: str) -> Any:
        if name not in self._names:
            raise AttributeError(f"{name!r} was not asked for: add it to read(...) and to dvc.yaml's params")
        return getattr(self._params, name)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds: one network each."""
        return self._get("seeds")  # type: ignore[no-any-return]

    @property
    def data(self) -> Data:
        """The data set."""
        return self._get("data")  # type: ignore[no-any-return]

    @property
    def model(self) -> Model:
        """The architecture."""
        return self._get("model")  # type: ignore[no-any-return]

    @property
    def train(self) -> Train:
        """The shared budget."""
        return self._get("train")  # type: ignore[no-any-return]

    @property
    def arms(self) -> dict[str, Arm]:
        """All arms, by name."""
        return self._get("arms")  # type: ignore[no-any-return]

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims to decide."""
        return self._get("claims")  # type: ignore[no-any-return]

    @property
    def rule(self) -> Rule:
        """How claims are decided."""
        return self._get("rule")  # type: ignore[no-any-return]

    @property
    def lottery(self) -> Lottery:
        """The pruning rounds; none without a section `lottery`."""
        return self._get("lottery")  # type: ignore[no-any-return]

    @property
    def rounds(self) -> list[str]:
        """The names of the pruning rounds, in their order."""
        return self.lottery.names

    def baseline(self) -> Run:
        """The baseline as a run: plain gradient training under the shared budget."""
        return baseline_run(self.seeds, self.model, self.train)

    def arm(self, name: str) -> Run:
        """An arm as a run, its overrides applied.

        Raises:
            AssayError: there is no such arm.
        """
        if name not in self.arms:
            raise AssayError(f"{PARAMS_FILE}: arms: no arm {name!r}; {suggestion(name, list(self.arms))}")
        return arm_run(name, self.arms[name], self.seeds, self.model, self.train)

    def round(self, number: int) -> Run:
        """A pruning round as a run.

        Raises:
            AssayError: there is no such round.
        """
        if number not in self.lottery.numbers:
            raise AssayError(f"{PARAMS_FILE}: lottery.rounds: no round {number}; {len(self.lottery.rounds)} are named")
        return round_run(number, self.lottery, self.seeds, self.model, self.train)

    def block(self, run: Run, number: int) -> Run:
        """A block of a run: the same with other seeds; block 0 is the run itself.

        Raises:
            AssayError: seeds.yaml does not name it, or does not fit params.yaml.
        """
        if not number:
            return run
        name, named = block_name(run.arm, number), {one.name: one for one in block_runs(self._params)}
        if name not in named:
            raise AssayError(f"{SEEDS_FILE}: no block {name!r}; {suggestion(name, list(named))}")
        return run.model_copy(update={"block": number, "seeds": named[name].seeds})


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


def read(*names: str, path: Path = PARAMS_FILE) -> Settings:
    """Read and check the whole file; hand out the sections named.

    Raises:
        AssayError: the file is missing, is not YAML, or holds an unknown key or a bad value; one line each.
    """
    return Settings(load(path), names)


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check params.yaml; errors as of `read`."""
    return parse(Params, yaml_of(text_of(path), str(path)), str(path))


def train_of(train: Train, arm: Arm, name: str) -> Train:
    """The shared budget with an arm's overrides in place; an optimizer or schedule is replaced as a whole.

    Raises:
        ValueError: an override is not a valid value; the message names the key under `arms`.
    """
    try:
        return Train.model_validate({**dict(train), **arm.overrides()})
    except ValidationError as error:
        raise ValueError("\n".join(problem_lines(Train, error, f"arms.{name}."))) from None


def split_variant(name: str) -> tuple[str, str | None]:
    """`line/midpoint` as arm and variant; the variant is None where only an arm is named (its first is meant)."""
    arm, _, variant = name.partition("/")
    return arm, variant or None


def _distinct_seeds(value: tuple[int, ...], prefix: str = "") -> tuple[int, ...]:
    if len(set(value)) < len(value):
        raise ValueError(f"{prefix}seeds: each must stand once; a seed that stands twice trains the same network twice")
    return value
