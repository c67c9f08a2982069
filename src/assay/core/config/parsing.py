"""From what YAML or JSON gave to a typed, frozen model, with one readable line for each thing wrong."""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from assay.core import files, plain
from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

S = TypeVar("S", bound=BaseModel)
LONGEST_NAME = 100  # files are named after arms, with suffixes; file systems allow 255 bytes
LARGEST, DEEPEST = 2**63, 32  # of numbers, and levels of nesting
UNSEEN = ("size", "nfiles")  # DVC's own names; its run-cache leaves out every parameter that is called so
EVALUATION = "evaluation"  # see InList


class Section(BaseModel):
    """A part of params.yaml: frozen, and an unknown key or a value of another type is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


class Digested(BaseModel):
    """A record on disk that holds the SHA-256 of all its other fields; `signed` fills it in."""

    digest: str = ""

    def signed(self) -> dict[str, Any]:
        """The content for the file, with its digest."""
        content = self.model_dump(mode="json", exclude={"digest"})
        return {**content, "digest": files.content_digest(content)}

    def verify(self, path: Path, damaged: str) -> None:
        """Compare what was read from `path` with its digest.

        Raises:
            AssayError: it has another (`damaged` says what to do), or none.
        """
        if not self.digest:
            raise AssayError(f"{path}: holds no digest, as older versions wrote it; run `dvc repro` to make it anew")
        content = self.model_dump(mode="json", exclude_unset=True, exclude={"digest"})
        if files.content_digest(content) != self.digest:
            raise AssayError(f"{path}: damaged or altered: its content does not have its digest; {damaged}")


def unusable(value: Any, key: str = "", depth: int = 0) -> list[str]:
    """One line for each value that no parameter may have, since DVC, PyTorch or MLflow would not take it."""
    if depth > DEEPEST:  # also a list that contains itself, by an alias
        return [f"{key}: lies more than {DEEPEST} levels deep"]
    if isinstance(value, dict):
        inside = f"{key}." if key else ""
        unseen = [
            f"{inside}{name}: DVC's run-cache ignores every parameter named {name} (dvc/stage/cache.py, "
            "_get_cache_hash), so results of another value would be restored; rename the key"
            for name in value
            if name in UNSEEN
        ]
        return unseen + [line for name in value for line in unusable(value[name], f"{inside}{name}", depth + 1)]
    if isinstance(value, list | tuple):
        return [line for at, inner in enumerate(value) for line in unusable(inner, f"{key}.{at}", depth + 1)]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{key}: got {value}; it should be a finite number"]
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        return [f"{key}: the number does not fit in 64 bits; it should be less than 2^63"]
    if value is None or isinstance(value, str | int | float):
        return []
    return [f"{key}: got a {type(value).__name__}; it should be a number or a text (put a text in quotes)"]


class InList(BaseModel):
    """A record that its file holds as `{"evaluation": [record]}`, beside the few numbers that DVC shows of an arm."""

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, content: Any) -> Any:
        found = content.get(EVALUATION) if isinstance(content, dict) else None
        return found[0] if isinstance(found, list) and len(found) == 1 else content


def parse(kind: type[S], content: Any, where: str, prefix: str = "", also_allowed: Iterable[str] = ()) -> S:
    """Check `content`, as the file `where` has it under the key `prefix` (with its closing dot), against a model.

    `also_allowed` are further keys, for the list of what is allowed.

    Raises:
        AssayError: anything is missing, unknown or out of range; one line each.
    """
    if not isinstance(content, dict):
        raise AssayError(f"{where}: {prefix.rstrip('.') or 'the file'} must hold keys and values, not {content!r}")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        lines = problem_lines(kind, error, prefix, also_allowed)
        raise AssayError("\n".join(f"{where}: {line}" for line in lines)) from None


def read(kind: type[S], path: Path, missing: str, damaged: str) -> S:
    """Read a JSON file as a pydantic model.

    Raises:
        AssayError: it is missing, not JSON (`missing` and `damaged` say what to do), or not such a model.
    """
    return parse(kind, plain.read_json(path, missing, damaged), str(path))


def suggestion(name: str, allowed: list[str]) -> str:
    """The allowed names, led by the one most like `name` if any is: the end of an error message."""
    begun = [other for other in allowed if name and other.startswith(name)]
    close = begun or difflib.get_close_matches(name, allowed, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}allowed: {', '.join(allowed) or 'none'}"


SHOULD = {  # by pydantic's types of error; other messages of its own say well what it should be
    "tuple_type": "should be a list, as in [0, 1, 2]",
    "too_short": "should hold {min_length} or more",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "should hold keys and values"),
    "string_pattern_mismatch": "should match {pattern}",
    "union_tag_not_found": "needs a name, as in {{name: ...}}",
}
NAMES_A_KEY = re.compile(r"[a-z_]+(\.[^:]+)?: ")  # as in `data.side: missing`


def problem_lines(
    kind: type[BaseModel], error: ValidationError, prefix: str, also_allowed: Iterable[str] = ()
) -> list[str]:
    """What pydantic found wrong, a line each, with the keys as the file has them."""
    lines: list[str] = []
    for problem in error.errors(include_url=False):
        keys, section = _locate(kind, problem["loc"])
        key, value, context = prefix + ".".join(keys), problem["input"], problem.get("ctx", {})
        if problem["type"] == "value_error":
            got = "" if isinstance(value, dict) else f"got {value!r}; "
            said = str(context["error"]).splitlines()
            lines += [line if NAMES_A_KEY.match(line) else f"{key}: {got}{line}" for line in said]
        elif problem["type"] == "extra_forbidden":
            allowed = {*(section.model_fields if section else ()), *(also_allowed if len(keys) == 1 else ())}
            lines.append(f"{key}: unknown key; {suggestion(keys[-1], sorted(allowed))}")
        elif problem["type"] == "union_tag_invalid":
            tags = context["expected_tags"].replace("'", "").split(", ")
            lines.append(f"{key}.name: got {value['name']!r}; {suggestion(str(value['name']), tags)}")
        elif problem["type"] == "missing":
            lines.append(f"{key}: missing, and required")
        else:
            own = problem["msg"][max(problem["msg"].find("should "), 0) :]
            lines.append(f"{key}: got {value!r}; it {SHOULD.get(problem['type'], own).format(**context)}")
    return lines


def _locate(kind: Any, location: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel] | None]:
    """A problem's keys as the file has them, without the members of unions, and the section that holds the last."""
    keys: list[str] = []
    inside, section = _sections(kind), None
    for part in location:
        names = [(one, name) for one in inside if (name := one.model_fields.get("name"))]
        tagged = [one for one, name in names if part in get_args(name.annotation)]
        if tagged and len(inside) > 1:
            inside = tagged
        elif part != "[key]":
            keys.append(str(part))
            section = inside[0] if len(inside) == 1 else None
            if section and part in section.model_fields:  # else it is a place in a list or a mapping of sections
                inside = _sections(section.model_fields[part].annotation)
    return keys, section


def _sections(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for argument in get_args(annotation) for section in _sections(argument)]
