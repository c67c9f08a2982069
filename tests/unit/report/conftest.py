"""A made-up repository, before and after `python -m stages.compare`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from report_site import Site, make_site, write_report

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture(scope="session")
def compared_once(tmp_path_factory) -> Path:
    """Not to be written to."""
    return write_report(tmp_path_factory.mktemp("compared"))


@pytest.fixture
def compared(compared_once: Path, tmp_path: Path) -> Path:
    """A copy of it, to do with as a test likes."""
    return shutil.copytree(compared_once, tmp_path / "compared")
