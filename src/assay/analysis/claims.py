"""Claims with their verdicts, as `metrics/claims.json` has them, also those of finished runs under `results/NAME/`.

A claim has an edge a and a smallest difference that matters, δ: of `better` they are the margin and `matters`, of
`not_worse` (non-inferiority) both are the margin, and of a `ratio` both are the bound, on logarithms. From them and the
paired numbers of the seeds `assay.analysis.looks` decides it. Numbers that follow from params.yaml alone are told and
not tested. `assay.cli.archive` writes the folder of a finished run. Of a claim file that an earlier version wrote, the
verdicts are kept as they were decided, and `ClaimRecord.reason` says that the rule was another one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, model_validator

from assay.core.config import PARAMS_FILE
from assay.core.config.claim import CONFIDENCE
from assay.core.config.parsing import parse
from assay.core.errors import AssayError
from assay.core.plain import read_json, text_of, yaml_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Verdict = Literal["reproduced", "refuted", "negligible", "undecided", "by construction", "not tested here"]
PATH, ARCHIVES, RUN = Path("metrics/claims.json"), Path("results"), "run.json"
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
TESTED = VERDICTS[:4]
EARLIER_RULE = "decided under the earlier rule (Holm's correction, five seeds or fewer)"


def of_a_bound(cls: type[BaseModel], content: Any) -> Any:  # noqa: ARG001 (what tells pydantic to make a class method)
    """The direction of a ratio is that of its bound; an earlier version wrote False for what has none of its own."""
    ratio = isinstance(content, dict) and content.get("asks") == "ratio"
    return {**content, "more_is_better": content.get("at_least") is not None} if ratio else content


class Look(BaseModel, frozen=True):
    """What the first `seeds` seeds of both arms say; `difference` is as in `ClaimRecord`, over these.

    Attributes:
        error: its standard error, of a ratio that of its logarithm; None, as what follows, where there is none.
        degrees: of freedom of the t distribution.
        above: p value of "the truth is at most a".
        below: p value of "the truth is at least δ".
        level: the p value at which a fact is shown at this look.
    """

    seeds: int
    difference: float | None = None
    error: float | None = None
    degrees: float | None = None
    above: float | None = None
    below: float | None = None
    level: float


class Forecast(BaseModel, frozen=True):
    """What it would take to decide a claim that is undecided.

    Attributes:
        seeds: the first later look at which it is decided with a probability of a half or more; None if at none.
        probability: that it is decided at that look, or where `seeds` is None at the last one.
        test_examples: where the test set limits and not the seeds: how many would decide it at even odds, else None.
    """

    seeds: int | None = None
    probability: float = 0.0
    test_examples: int | None = None


class Control(BaseModel, frozen=True):
    """What the comparison of a claim about calibration gives after temperature scaling of both sides; not a test.

    Attributes:
        metric: the one that is compared.
        difference: as `ClaimRecord.difference`, over the same seeds; None where there is none, and `reason` says why.
        interval: 95 %, on its own.
    """

    metric: str
    difference: float | None = None
    interval: tuple[float, float] | None = None
    reason: str = ""


class ClaimRecord(BaseModel, frozen=True):
    """A claim with its verdict: one entry of `metrics/claims.json`.

    Attributes:
        id: as in params.yaml, and so are all fields that are not named here; empty or None where the claim has none.
        asks: the kind of claim, `verdict` in params.yaml.
        more_is_better: the direction in which the metric improves, of a ratio that of its bound.
        arm: `<arm>/<variant>`, the side the claim is about; `against` likewise its rival.
        edge: a, in the claim's direction and the metric's unit (of a ratio the ratio): beyond it the claim is true.
        matters: δ, likewise: the smallest difference that matters; equal to the edge for `not_worse` and `ratio`.
        difference: arm minus against in the metric's own unit, the mean over the seeds of `seeds`; of a ratio the
            geometric mean of arm / against, or the metric's own value where there is no rival. None where no seed is
            common.
        interval: at the deciding look (undecided: at the last there is), of the `confidence` at which facts are shown
            there; None where there is none.
        interval_alone: 95 %, as if this claim were the only one, over the same seeds.
        seeds: how many the deciding look (else the last one, without a look the common ones) stands on.
        difference_all_seeds: as `difference`, over all common seeds (`all_seeds`): estimates at stopping exaggerate.
        by_seed: the paired differences (ratios, values) of all common seeds, in their order.
        above: the look, in seeds, at which "the truth is beyond the edge" was first shown; None if it was not.
        below: likewise "the truth is short of what matters".
        harms: whether the whole interval lies on the wrong side of no difference.
        seed_share: the part of the variance that comes from seeds; the rest comes from test examples.
        sd_over_floor: the arm's SD of accuracy over seeds, divided by √(error rate / 2N), the least that independent
            networks have (Jordan, arXiv 2304.01910); None for other metrics.
        control: of a claim about calibration the same comparison after temperature scaling; else None.
        changed_after_results: whether the claim was changed after results of its arms were there.
        archived: the archived run that the verdict is taken from; empty where it is of this run.
        reason: what a reader must know of how it was decided; else empty.
    """

    _direction = model_validator(mode="before")(of_a_bound)

    id: str
    paper: str
    statement: str
    metric: str = ""
    asks: Literal["better", "not_worse", "ratio", ""] = ""
    more_is_better: bool = True
    margin: float = 0.0
    at_most: float | None = None
    at_least: float | None = None
    arm: str = ""
    against: str = ""
    edge: float | None = None
    matters: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float = CONFIDENCE
    interval_alone: tuple[float, float] | None = None
    seeds: int = 0
    all_seeds: int = 0
    difference_all_seeds: float | None = None
    by_seed: list[float] = []
    looks: list[Look] = []
    above: int | None = None
    below: int | None = None
    harms: bool = False
    seed_share: float | None = None
    sd_over_floor: float | None = None
    forecast: Forecast | None = None
    control: Control | None = None
    changed_after_results: bool = False
    archived: str = ""
    verdict: Verdict
    reason: str = ""
    preset: str = ""
    differs_from_paper: str = ""

    @property
    def tested(self) -> bool:
        """Whether the claim has a verdict that this run's own results gave."""
        return self.verdict in TESTED and not self.archived


class Archive(NamedTuple):
    """An archived run: its folder under `results/`, its data set and network, and the claims that it tested, by id.

    `note` says what was shortened against its parameters or its preset; empty where nothing was.
    """

    name: str
    data: str
    model: str
    note: str
    claims: Mapping[str, ClaimRecord]


def read_archives(root: Path) -> dict[str, Archive]:
    """All archived runs under the repository root, by name.

    Raises:
        AssayError: a file of one is missing or damaged.
    """
    found = {}
    for folder in sorted(path.parent for path in (root / ARCHIVES).glob(f"*/{PATH.name}")):
        path = folder / PARAMS_FILE
        params = yaml_of(text_of(path), str(path))  # of any version, so not `config.load`
        try:
            data, model = str(params["data"]["name"]), str(params["model"]["name"])
        except (KeyError, TypeError):
            restore = f"`git checkout -- {folder}` restores it"
            raise AssayError(f"{path}: no data.name or no model.name; {restore}") from None
        run = _read(folder / RUN, dict, "keys and values") if (folder / RUN).exists() else {}
        decided = read(folder / PATH.name)
        claims = {one.id: one for one in decided if one.verdict != "not tested here" and not one.archived}
        found[folder.name] = Archive(folder.name, data, model, str(run.get("note", "")), claims)
    return found


def read(path: Path) -> list[ClaimRecord]:
    """Read a file of claims, also one of an earlier version.

    Raises:
        AssayError: it is missing or damaged.
    """
    claims = []
    for content in _read(path, list, "a list of claims"):
        claim = parse(ClaimRecord, content, str(path))
        if "p_value" in content and claim.verdict != "not tested here":  # the present rule gives a p value to each look
            claim = claim.model_copy(update={"reason": "; ".join(filter(None, [EARLIER_RULE, claim.reason]))})
        claims.append(claim)
    return claims


def with_archives(claims: Iterable[ClaimRecord], archives: Mapping[str, Archive]) -> list[ClaimRecord]:
    """The claims; one that is not tested here has the verdict of the archived run that is called as its preset."""
    told = []
    for claim in claims:
        archive = archives.get(claim.preset) if claim.verdict == "not tested here" else None
        if archive and (found := archive.claims.get(claim.id)):
            own = claim.model_dump(include={"paper", "statement", "preset"})
            differs = " ".join(filter(None, [found.differs_from_paper or claim.differs_from_paper, archive.note]))
            archived = {"archived": str(ARCHIVES / archive.name), "differs_from_paper": differs, "forecast": None}
            told.append(found.model_copy(update=own | archived))
        else:
            told.append(claim)
    return told


def _read(path: Path, kind: type, what: str) -> Any:
    kept = path.parent.parent.name == ARCHIVES.name
    again = f"`git checkout -- {path.parent}` restores it" if kept else "`dvc repro` writes it"
    content = read_json(path, again, again)
    if not isinstance(content, kind):
        raise AssayError(f"{path}: must hold {what}; {again}")
    return content
