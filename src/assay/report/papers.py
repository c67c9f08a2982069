"""The papers whose promises are tested, as a reader should see them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import assay

METHODS = Path(assay.__file__).parent / "methods"


@dataclass(frozen=True)
class Paper:
    """A paper: the topic it stands for, and how it is cited."""

    topic: str
    cited: str


@cache
def papers(methods: Path = METHODS) -> dict[str, Paper]:
    """The `PAPER` of every method, by key.

    `PAPER` is a literal, and is read without importing the method: the report knows nothing of methods, and their code
    and PyTorch's stay out of it.

    Args:
        methods: the folder of the methods.
    """
    found = {}
    for file in sorted(methods.glob("*/__init__.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PAPER":
                paper = ast.literal_eval(node.value)
                found[paper["key"]] = Paper(paper["topic"], paper["cited"])
    return found


def paper(key: str) -> Paper:
    """The paper of a claim; a key that no method names stands for itself."""
    return papers().get(key, Paper(key, ""))
