"""Finished runs that are kept in git under `results/NAME/`, and what they say of claims that a run does not test.

`assay.cli.archive` writes such a folder. Of a claim file that an earlier version wrote, the verdicts are kept as they
were decided, and `ClaimRecord.reason` says that the rule was another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.analysis.claims import PATH, ClaimRecord
from assay.core.config import PARAMS_FILE
from assay.core.config.parsing import parse
from assay.core.errors import AssayError
from assay.core.plain import read_json, text_of, yaml_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = Path("results")
CLAIMS, RUN = PATH.name, "run.json"
EARLIER_RULE = "decided under the earlier rule (Holm's correction, five seeds or fewer)"
UNTESTED = "not tested here"


@dataclass(frozen=True)
class Archive:
    """An archived run: its folder under `results/`, its data set and network, and its claims by id, decided.

    `note` says what was shortened against its parameters or its preset; empty where nothing was.
    """

    name: str
    data: str
    model: str
    note: str
    claims: Mapping[str, ClaimRecord]

    def tested(self, identifier: str) -> ClaimRecord | None:
        """The claim of this id where the archived run tested it by itself, else None."""
        found = self.claims.get(identifier)
        return None if found is None or found.archived or found.verdict == UNTESTED else found


def read_all(root: Path) -> dict[str, Archive]:
    """All archived runs under the repository root, by name.

    Raises:
        AssayError: a file of one is missing or damaged.
    """
    found = {}
    for folder in sorted(path.parent for path in (root / FOLDER).glob(f"*/{CLAIMS}")):
        path = folder / PARAMS_FILE
        params = yaml_of(text_of(path), str(path))  # of any version, so not `config.load`
        try:
            data, model = str(params["data"]["name"]), str(params["model"]["name"])
        except (KeyError, TypeError):
            raise AssayError(f"{path}: no data.name or no model.name; {_again(folder)}") from None
        run = _read(folder / RUN, dict, "keys and values") if (folder / RUN).exists() else {}
        claims = {claim.id: claim for claim in claims_of(folder / CLAIMS)}
        found[folder.name] = Archive(folder.name, data, model, str(run.get("note", "")), claims)
    return found


def claims_of(path: Path) -> list[ClaimRecord]:
    """Read a file of claims, also one of an earlier version.

    Raises:
        AssayError: it is missing or damaged.
    """
    claims = []
    for content in _read(path, list, "a list of claims"):
        claim = parse(ClaimRecord, content, str(path))
        if "p_value" in content and claim.verdict != UNTESTED:  # the present rule gives a p value to each look
            claim = claim.model_copy(update={"reason": "; ".join(filter(None, [EARLIER_RULE, claim.reason]))})
        claims.append(claim)
    return claims


def verdicts(claims: Iterable[ClaimRecord], archives: Mapping[str, Archive]) -> list[ClaimRecord]:
    """The claims; one that is not tested here has the verdict of the archived run that is called as its preset."""
    told = []
    for claim in claims:
        archive = archives.get(claim.preset) if claim.verdict == UNTESTED else None
        if archive and (found := archive.tested(claim.id)):
            own = claim.model_dump(include={"paper", "statement", "preset"})
            differs = " ".join(filter(None, [found.differs_from_paper or claim.differs_from_paper, archive.note]))
            archived = {"archived": str(FOLDER / archive.name), "differs_from_paper": differs, "forecast": None}
            told.append(found.model_copy(update=own | archived))
        else:
            told.append(claim)
    return told


def _read(path: Path, kind: type, what: str) -> Any:
    content = read_json(path, _again(path.parent), _again(path.parent))
    if not isinstance(content, kind):
        raise AssayError(f"{path}: must hold {what}; {_again(path.parent)}")
    return content


def _again(folder: Path) -> str:
    kept = folder.parent.name == FOLDER.name
    return f"`git checkout -- {folder}` restores it" if kept else "`dvc repro` writes it"
