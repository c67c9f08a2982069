"""The figures in the README and the method cards are those that `compare` wrote; an outdated one is noticed."""

import re
from pathlib import Path

import pytest

from assay.core.errors import AssayError
from assay.report import readme

ROOT = Path(__file__).parents[3]
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
TEXT = f"# Title\n\n{BEGIN}\nOUTDATED\n{END}\n\nThe end.\n"
CARD = f"# Card\n\n<!-- results:begin arms=base*,line -->\n{END}\n"


@pytest.fixture
def folder(compared):
    (compared / "README.md").write_text(TEXT)
    return compared


@pytest.fixture
def card(folder):
    path = folder / "docs/methods/line.md"
    path.parent.mkdir(parents=True)
    path.write_text(CARD)
    return path


def test_the_block_is_replaced_and_nothing_else(folder):
    assert readme.main(check=False, root=folder) == 0
    text = (folder / "README.md").read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n\n3 claims tested: ")
    assert text.endswith(f"\n\n{END}\n\nThe end.\n")
    assert "✓ **reproduced**" in text
    assert "| line" in text
    assert "OUTDATED" not in text


def test_the_readme_says_what_to_use_and_the_tables_stand_in_docs(folder):
    (folder / "README.md").write_text("# Title\n\n<!-- advice:begin -->\n<!-- advice:end -->\n")
    (folder / "docs").mkdir()
    (folder / "docs/results.md").write_text(TEXT)
    readme.main(check=False, root=folder)
    text = (folder / "README.md").read_text()
    assert (folder / "metrics/report/advice.md").read_text() in text
    assert "- **At no more training than the baseline.** " in text
    assert "| verdict |" not in text
    assert "| verdict |" in (folder / "docs/results.md").read_text()
    (folder / "metrics/report/advice.md").unlink()
    with pytest.raises(AssayError, match=r"advice.md: not found; `dvc repro` writes it"):
        readme.main(check=True, root=folder)


def test_an_archived_run_has_its_files_in_its_own_folder(folder, card):
    readme.main(check=False, root=folder)
    here = card.read_text()
    (folder / "results/mine").mkdir(parents=True)
    for name in ("summary.csv", "claims.json"):
        (folder / "results/mine" / name).write_bytes((folder / "metrics" / name).read_bytes())
    card.write_text(CARD.replace("arms=", "folder=results/mine arms="))
    readme.main(check=False, root=folder)
    assert card.read_text().replace("folder=results/mine ", "") == here


def test_a_card_has_its_own_arms_and_their_costs(folder, card):
    readme.main(check=False, root=folder)
    text = card.read_text()
    assert "| line/ensemble |" in text
    assert "| baseline" in text
    assert "| cyclic" not in text
    assert "Inference cost" in text


def test_an_arm_that_is_not_there_is_named(folder, card):
    card.write_text(CARD.replace("line", "lien"))
    with pytest.raises(AssayError, match=r"line.md: arms=lien: no such arm"):
        readme.main(check=False, root=folder)


def test_check_changes_nothing_and_notices(folder, card, capsys):
    assert readme.main(check=True, root=folder) == 1
    assert capsys.readouterr().err.count("out of date") == 2
    assert (folder / "README.md").read_text() == TEXT
    assert card.read_text() == CARD
    readme.main(check=False, root=folder)
    assert readme.main(check=True, root=folder) == 0


def test_new_results_make_it_outdated(folder):
    readme.main(check=False, root=folder)
    path = folder / "metrics/claims.json"
    path.write_text(path.read_text().replace("reproduced", "undecided"))
    assert readme.main(check=True, root=folder) == 1


@pytest.mark.parametrize("text", [BEGIN, END, BEGIN + TEXT, END + BEGIN, TEXT + BEGIN, TEXT + END])
def test_marks_that_are_not_a_pair_are_refused(folder, text):
    (folder / "README.md").write_text(text)
    with pytest.raises(AssayError, match=r"README.md: each `begin` mark"):
        readme.main(check=False, root=folder)
    assert (folder / "README.md").read_text() == text


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(AssayError, match=r"README.md: not found"):
        readme.main(check=True, root=tmp_path)
    (tmp_path / "README.md").write_text(TEXT)
    with pytest.raises(AssayError, match=r"summary.csv: .*dvc repro"):
        readme.main(check=True, root=tmp_path)


@pytest.mark.parametrize("block", ["speed", "tuning", "sparsity"])
def test_what_a_benchmark_measured_is_one_table(block):
    """Every line has as many cells as the head."""
    lines = [line for line in readme.KINDS[block](ROOT).splitlines() if line.startswith("|")]
    assert len(lines) > 4
    assert len({line.count("|") for line in lines}) == 1


def test_the_figures_of_this_repository_are_current():
    if not (ROOT / "metrics/claims.json").exists():
        pytest.skip("the pipeline has not run in this checkout: metrics/claims.json is not there")
    assert_current(ROOT)


def assert_current(root):
    """What the documents tell of other arms cannot be renewed from the results of these."""
    try:
        outdated = readme.main(check=True, root=root)
    except AssayError as error:
        if not re.search(r"no such arm in metrics/|fewer than two trajectory arms", str(error)):
            raise
        pytest.skip(f"params.yaml has other arms than the documents, whose figures stay as they are: {error}")
    assert not outdated, "run `assay readme`"


def test_figures_of_other_arms_are_no_failure(folder, card):
    """As after `make preset` and `make repro`."""
    readme.main(check=False, root=folder)
    assert_current(folder)
    card.write_text(CARD.replace("line", "lien"))
    with pytest.raises(pytest.skip.Exception, match=r"other arms than the documents.*: arms=lien: no such arm"):
        assert_current(folder)
    card.write_text(CARD)
    with pytest.raises(AssertionError, match="run `assay readme`"):
        assert_current(folder)
    card.write_text(BEGIN)
    with pytest.raises(AssayError, match="each `begin` mark"):
        assert_current(folder)
