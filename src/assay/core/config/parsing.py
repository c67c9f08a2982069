"""From what YAML or JSON gave to a typed, frozen model, with one readable line for each thing wrong."""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

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
    """A record on disk that holds the SHA-256 of its own content.

    Attributes:
        digest: of all other fields; `signed` fills it in.
    """

    digest: str = ""

    def signed(self) -> dict[str, Any]:
        """The content for the file, with its digest."""
        content = self.model_dump(mode="json", exclude={"digest"})
        return {**content, "digest": files.content_digest(content)}

    def verify(self, path: Path, damaged: str) -> None:
        """Compare what was read from `path` with its digest; `damaged` says what to do if it is another.

        Raises:
            AssayError: it is another, or there is none.
        """
        if not self.digest:
            raise AssayError(f"{path}: holds no digest, as older versions wrote it; run `dvc repro` to make it anew")
        content = self.model_dump(mode="json", exclude_unset=True, exclude={"digest"})
        if files.content_digest(content) != self.digest:
            raise AssayError(f"{path}: damaged or altered: its content does not have its digest; {damaged}")


def unusable(value: Any, key: str = "", depth: int = 0) -> list[str]:
    """One line for each value that no parameter may have, also where a section takes keys that it does not know.

    Parameters are finite numbers that fit in 64 bits, texts, booleans, and lists and mappings of these: DVC records
    them in dvc.lock, and PyTorch and MLflow take no others.

    Args:
        value: what YAML gave.
        key: where it stands.
        depth: how many lists and mappings it is in.
    """
    if depth > DEEPEST:  # also a list that holds itself, which an alias can make
        return [f"{key}: lies more than {DEEPEST} levels deep"]
    if isinstance(value, dict):
        inside = f"{key}." if key else ""
        unseen = [
            f"{inside}{name}: DVC's run-cache ignores every parameter named {name} (dvc/stage/cache.py, "
            "_get_cache_hash), so results of another value would be restored; rename the key"
            for name in value
            if name in UNSEEN
        ]
        return unseen + [
            line for name, inner in value.items() for line in unusable(inner, f"{inside}{name}", depth + 1)
        ]
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
    """A record that its file holds as `{"evaluation": [record]}`, beside a few numbers.

    `dvc metrics` and `dvc exp show` show every number of a metrics file except those in lists: so they show the few.
    """

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, content: Any) -> Any:
        found = content.get(EVALUATION) if isinstance(content, dict) else None
        return found[0] if isinstance(found, list) and len(found) == 1 else content


def parse(kind: type[S], content: Any, where: str, prefix: str = "", also_allowed: Iterable[str] = ()) -> S:
    """Check `content` against a pydantic model, with one readable line for each thing wrong.

    Args:
        kind: the model.
        content: what YAML gave.
        where: the file that the content is from, for the message.
        prefix: the key under which the content stands in it, with its closing dot.
        also_allowed: keys that others have taken out of the content, for the list of what is allowed.

    Raises:
        AssayError: anything is missing, unknown or out of range.
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

    Args:
        kind: the model.
        path: the file.
        missing: what to do where it is not there.
        damaged: what to do where it is not JSON.

    Raises:
        AssayError: it is missing, not JSON, or not such a model; one line each.
    """
    return parse(kind, plain.read_json(path, missing, damaged), str(path))


def suggestion(name: str, allowed: list[str]) -> str:
    """The allowed names, led by the one most like `name` if any is: the end of an error message."""
    begun = [other for other in allowed if name and other.startswith(name)]
    close = begun or difflib.get_close_matches(name, allowed, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}allowed: {', '.join(allowed) or 'none'}"


def problem_lines(
    kind: type[BaseModel], error: ValidationError, prefix: str, also_allowed: Iterable[str] = ()
) -> list[str]:
    """What pydantic found wrong, a line each, with the keys as the file has them."""
    lines: list[str] = []
    for problem in error.errors(include_url=False):
        location, section = _locate(kind, problem["loc"])
        key, value = prefix + ".".join(location), problem["input"]
        if problem["type"] == "value_error":
            message = str(problem["ctx"]["error"])
            got = "" if isinstance(value, dict) else f"got {value!r}; "
            lines += [line if _names_a_key(line) else f"{key}: {got}{line}" for line in message.splitlines()]
        elif problem["type"] == "extra_forbidden":
            allowed = sorted(
                {*(section.model_fields if section else ()), *(also_allowed if len(location) == 1 else ())}
            )
            lines.append(f"{key}: unknown key; {suggestion(location[-1], allowed)}")
        elif problem["type"] == "missing":
            lines.append(f"{key}: missing, and required")
        elif problem["type"] == "union_tag_invalid":
            allowed = problem["ctx"]["expected_tags"].replace("'", "").split(", ")
            lines.append(f"{key}.name: got {value['name']!r}; {suggestion(str(value['name']), allowed)}")
        elif problem["type"] == "union_tag_not_found":
            lines.append(f"{key}: got {value!r}; it needs a name, as in {{name: ...}}")
        else:
            should = _SHOULD.get(problem["type"], problem["msg"].partition("should ")[2] or problem["msg"])
            lines.append(f"{key}: got {value!r}; it should {should.format(**problem.get('ctx', {}))}")
    return lines


_SHOULD = {
    "tuple_type": "be a list, as in [0, 1, 2]",
    "too_short": "hold {min_length} or more",
    "model_type": "hold keys and values",
    "model_attributes_type": "hold keys and values",
    "dict_type": "hold keys and values",
    "string_pattern_mismatch": "match {pattern}",
}


def _names_a_key(line: str) -> bool:
    """Whether a validator's message already begins with the key that it is about, as in `data.side: missing`."""
    return re.match(r"[a-z_]+(\.[^:]+)?: ", line) is not None


def _locate(kind: Any, location: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel] | None]:
    """Where a problem is: the keys as the file has them, and the section whose key is the last of them.

    Pydantic's location also names the member of a union that it tried; the file knows nothing of that.
    """
    keys: list[str] = []
    holders: list[Any] = [kind]
    for part in location:
        members = [m for m in _sections(holders[-1]) if part in _tags(m)]
        if members and not isinstance(holders[-1], type):
            holders[-1] = members[0]
            continue
        if part == "[key]":
            continue
        keys.append(str(part))
        sections = _sections(holders[-1])
        field = (
            sections[0].model_fields.get(str(part)) if len(sections) == 1 and not _is_collection(holders[-1]) else None
        )
        holders.append(field.annotation if field else sections[0] if _is_collection(holders[-1]) and sections else None)
    holder = _sections(holders[-2]) if len(holders) > 1 else []
    return keys, holder[0] if len(holder) == 1 else None


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The models that stand in an annotation, such as the members of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for argument in get_args(annotation) for section in _sections(argument)]


def _is_collection(annotation: Any) -> bool:
    return get_origin(annotation) in (dict, tuple, list)


def _tags(section: type[BaseModel]) -> tuple[Any, ...]:
    name = section.model_fields.get("name")
    return get_args(name.annotation) if name else ()
