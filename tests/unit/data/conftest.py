"""What tests of published data sets share: the folders that one is made in, filled into, and worked in."""

import pytest


@pytest.fixture
def folders(tmp_path):
    made = [tmp_path / name for name in ("published", "filled", "work")]
    for folder in made:
        folder.mkdir()
    return made
