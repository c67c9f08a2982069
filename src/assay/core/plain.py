"""Plain data: JSON, CSV, YAML and literals read with one-line errors, CSV written, nested mappings flattened."""

from __future__ import annotations

import ast
import csv
import io
import json
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.error import MarkedYAMLError

from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path


def text_of(path: Path) -> str:
    """The text of a YAML file; a byte-order mark at its start is left out.

    Raises:
        AssayError: it cannot be read, or is not UTF-8, the only encoding that DVC reads.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise AssayError(f"{path}: not found; run this in the folder that holds it") from None
    except OSError as error:
        raise AssayError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise AssayError(f"{path}: not UTF-8 text; save it with the encoding UTF-8") from None


def yaml_of(text: str, where: str, advice: str = "") -> Any:
    """The content of a YAML file, by the parser that DVC uses, so that both read the same values (`1e-3` is a number).

    Raises:
        AssayError: it is not valid YAML; the message names `where` and ends in `advice`.
    """
    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError, RecursionError) as error:  # ValueError: a date or a number that cannot be
        problem = " ".join(str(error).split())
        if isinstance(error, MarkedYAMLError) and error.problem and error.problem_mark:  # without advice to programmers
            problem = f"line {error.problem_mark.line + 1}: {error.problem.partition(' with value ')[0]}"
        raise AssayError(f"{where}: not valid YAML: {problem}{advice and f'; {advice}'}") from None


def json_of(text: str | bytes, where: Path | str, damaged: str) -> Any:
    """The content of a JSON file.

    Raises:
        AssayError: it is not JSON; the message names `where` and ends in `damaged`, what to do.
    """
    try:
        return json.loads(text if isinstance(text, str) else text.decode())
    except ValueError as error:
        raise AssayError(f"{where}: not JSON ({error}); {damaged}") from None


def read_json(path: Path, missing: str, damaged: str, shown: Path | None = None) -> Any:
    """Read a JSON file, which messages call `shown`, by default its path.

    Raises:
        AssayError: it is missing or not JSON; the message says what to do, `missing` or `damaged`.
    """
    try:
        return json_of(path.read_bytes(), shown or path, damaged)
    except FileNotFoundError:
        raise AssayError(f"{shown or path}: not found; {missing}") from None


def csv_of(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table as the text of a CSV file, each line ended by a line feed."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return stream.getvalue()


def read_csv(path: Path, missing: str, damaged: str) -> list[dict[str, str]]:
    """Read a CSV file with a header as one mapping a line.

    Raises:
        AssayError: it is missing, or not a table; the message says what to do, `missing` or `damaged`.
    """
    try:
        return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        raise AssayError(f"{path}: not found; {missing}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise AssayError(f"{path}: not a CSV file ({error}); {damaged}") from None


def literal(path: Path, name: str) -> Any:
    """The literal that a Python file gives to a name, without running it; an `AssayError` where it is none."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise AssayError(f"{path}: line {error.lineno}: {error.msg}") from None
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and ast.unparse(node).startswith((f"{name} = ", f"{name}: ")):
            try:
                return ast.literal_eval(node.value or "None")
            except (ValueError, TypeError):
                raise AssayError(f"{path}: {name}: must be a literal; write values, and no names") from None
    return None


def literals(paths: Iterable[Path], name: str) -> dict[Path, Any]:
    """The literals of this name in the files that have it, in the order of their paths; none is run."""
    return {path: found for path in sorted(paths) if (found := literal(path, name)) is not None}


def flat(value: Any, prefix: str = "", ids: bool = False) -> Iterator[tuple[str, Any]]:
    """`{"train": {"steps": 3}}` as `("train.steps", 3)`; what is no mapping, or an empty one, is one value.

    With `ids`, a list of mappings with an `id` each counts as a mapping from these.
    """
    if ids and isinstance(value, list | tuple) and all(isinstance(one, dict) and "id" in one for one in value):
        value = {one["id"]: one for one in value} or value
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from flat(inner, f"{prefix}.{name}" if prefix else str(name), ids)
    else:
        yield prefix, value
