"""The README's results are those that `compare` wrote; an outdated README is noticed."""

from pathlib import Path

import pytest

from assay.errors import AssayError
from assay.reporting import readme

ROOT = Path(__file__).parents[3]
TEXT = f"# Title\n\n{readme.BEGIN}\nold\n{readme.END}\n\nThe end.\n"


@pytest.fixture
def folder(compared):
    (compared / "README.md").write_text(TEXT)
    return compared


def test_the_block_is_replaced_and_nothing_else(folder):
    assert readme.main(check=False, root=folder) == 0
    text = (folder / "README.md").read_text()
    assert text.startswith(f"# Title\n\n{readme.BEGIN}\n\n| verdict |")
    assert text.endswith(f"\n\n{readme.END}\n\nThe end.\n")
    assert "✓ **reproduced**" in text
    assert "| line/ensemble |" in text
    assert "old" not in text


def test_check_changes_nothing_and_notices(folder, capsys):
    assert readme.main(check=True, root=folder) == 1
    assert "out of date" in capsys.readouterr().err
    assert (folder / "README.md").read_text() == TEXT
    readme.main(check=False, root=folder)
    assert readme.main(check=True, root=folder) == 0


def test_new_results_make_it_outdated(folder):
    readme.main(check=False, root=folder)
    path = folder / "metrics/claims.json"
    path.write_text(path.read_text().replace("reproduced", "undecided"))
    assert readme.main(check=True, root=folder) == 1


@pytest.mark.parametrize(
    "text", ["no marks", readme.BEGIN, readme.BEGIN + TEXT, readme.END + readme.BEGIN, TEXT + TEXT, TEXT + readme.END]
)
def test_marks_that_are_not_a_pair_are_refused(folder, text):
    (folder / "README.md").write_text(text)
    with pytest.raises(AssayError, match=r"README.md: must hold"):
        readme.main(check=False, root=folder)
    assert (folder / "README.md").read_text() == text


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(AssayError, match=r"README.md: not found"):
        readme.main(check=True, root=tmp_path)
    (tmp_path / "README.md").write_text(TEXT)
    with pytest.raises(AssayError, match=r"claims.json: .*dvc repro"):
        readme.main(check=True, root=tmp_path)


def test_the_readme_of_this_repository_is_current():
    if not (ROOT / "metrics/claims.json").exists():
        pytest.skip("the pipeline has not run in this checkout: metrics/claims.json is not there")
    assert readme.main(check=True, root=ROOT) == 0
