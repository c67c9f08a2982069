"""`assay preset NAME`: put a preset's sections in the place of params.yaml's own.

A preset is a file presets/NAME.yaml with some of the top-level keys of params.yaml. Each replaces that section as a
whole, comments included; every other line of params.yaml stays as it is. The result is checked before it is written.
What is trained and what is claimed of it (`EXPERIMENT`) are replaced together, so that no claim misses its arm.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from assay.cli.costing import Costing
from assay.core import config, files
from assay.core.config import PARAMS_FILE, SEEDS_FILE
from assay.core.config.blocks import NO_BLOCKS
from assay.core.config.parsing import parse, suggestion
from assay.core.errors import AssayError
from assay.core.plain import text_of, yaml_of
from assay.methods import checks
from assay.pipeline.plan import duration

FOLDER = Path("presets")
EXPERIMENT = ("arms", "lottery", "claims")
KEY = re.compile(r"(?:^#.*\n)*(?P<line>^(?P<key>[^\s#{\[-][^:\n]*):)", re.MULTILINE)  # with the comments right above it


def main(name: str | None) -> None:
    """Apply a preset, or list them all, with what they would take here; one that does not fit says why."""
    if name:
        text = overlaid(text_of(PARAMS_FILE), read(name, FOLDER), str(FOLDER / f"{name}.yaml"))
        files.write_text(PARAMS_FILE, text)
        if SEEDS_FILE.exists():  # its seeds were of other arms, or of other parameters
            files.write_text(SEEDS_FILE, NO_BLOCKS.text())
        print(f"{PARAMS_FILE}: rewritten by {FOLDER / name}.yaml; git diff shows how, git checkout undoes it")
        print(f"It takes {cost(config.load())}; `make plan` shows each stage")
        return
    print("Presets, and what they take (apply one with: make preset NAME=...):")
    own, known = _mapping(text_of(PARAMS_FILE), str(PARAMS_FILE)), names(FOLDER)
    for one in known:
        where = str(FOLDER / f"{one}.yaml")
        try:
            shown = cost(parse(config.Params, {**own, **_mapping(read(one, FOLDER), where)}, where))
        except AssayError as error:
            shown = str(error).splitlines()[0]
        print(f"  {one:{max(map(len, known))}}  {shown}", flush=True)


def names(folder: Path) -> list[str]:
    """The presets there are."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def read(name: str, folder: Path) -> str:
    """The text of a preset.

    Raises:
        AssayError: there is none of this name; the line lists those there are.
    """
    if name not in (known := names(folder)):
        raise AssayError(f"{folder}: no preset {name!r}; {suggestion(name, known)}")
    return text_of(folder / f"{name}.yaml")


def overlaid(params: str, preset: str, where: str) -> str:
    """The text of params.yaml with the preset's sections in the places of its own; a section it lacks comes last.

    `where` names the preset's file in messages.

    Raises:
        AssayError: a text is no YAML, the result is not a valid params.yaml, or the preset says in part only what is
            to be trained and claimed.
    """
    old, new = _mapping(params, str(PARAMS_FILE)), _mapping(preset, where)
    missing = [key for key in EXPERIMENT if key not in new]
    if 0 < len(missing) < len(EXPERIMENT):
        together = ", ".join(EXPERIMENT)
        raise AssayError(f"{where}: {missing[0]}: missing; a preset replaces {together} together, or none of them")
    sections = _sections(params) | {key: lines for key, lines in _sections(preset).items() if key}
    text = "".join(lines if lines.endswith("\n") or not lines else f"{lines}\n" for lines in sections.values())
    whole = None
    with suppress(AssayError):
        whole = _mapping(text, "")
    if whole != {**old, **new}:
        raise AssayError(f"{where}: each top-level key must begin a line of its own, there and in {PARAMS_FILE}")
    try:
        checks.check(parse(config.Params, whole, str(PARAMS_FILE)))
    except AssayError as error:
        raise AssayError("\n".join(f"{where}: not applied: {line}" for line in str(error).splitlines())) from None
    return text


def cost(params: config.Params) -> str:
    """What all trainings of a params.yaml take here, one after the other; unknown for own images not prepared yet."""
    found = Costing(Path(), params).by_stage(params.runs())
    if len(found) < len(params.runs()):
        return "an unknown time"
    return f"about {duration(sum(cost.seconds for cost in found.values()))} of training here"


def _mapping(text: str, where: str) -> dict[str, Any]:
    content = yaml_of(text, where)
    if not isinstance(content, dict):
        raise AssayError(f"{where}: must hold keys and values")
    return content


def _sections(text: str) -> dict[str, str]:
    """The lines of each top-level key, with the comments right above it; under "" what stands above the first key."""
    found = list(KEY.finditer(text))
    starts = [*(one.start() if number else one.start("line") for number, one in enumerate(found)), len(text)]
    sections = {"": text[: starts[0]]}
    for one, start, end in zip(found, starts[:-1], starts[1:], strict=True):
        sections[one["key"].strip("'\"")] = text[start:end]
    return sections
