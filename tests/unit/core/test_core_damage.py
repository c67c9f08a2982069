"""Whatever stands in a file that is read, what comes of it is a line that names the file, never a traceback."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from assay.analysis import curves
from assay.core.errors import AssayError, again
from assay.pipeline import dag, dvc, lockfile
from assay.report import report, summary
from assay.review import snapshot
from assay.tracking import records

DENSE = SimpleNamespace(model=SimpleNamespace(name="mlp"), data_digest="d")
READERS = {
    "curves.csv": lambda root: curves.read(root / "curves.csv"),
    "live.csv": lambda root: curves.rows(root / "live.csv"),
    report.SPARSITY: lambda root: report.read_sparsity(root, DENSE),
    dvc.DONE_FILE: dvc.read_done,
    lockfile.NAME: lockfile.read,
    "metrics/claims.json": snapshot.read,
    "metrics/seeds.csv": snapshot.read,
    "metrics/timings.json": snapshot.read,
}
CONTENT = {
    "zeros": bytes(600),
    "no UTF-8": b"a,b\n\xff\xfe,1\n",
    "cut": b'{"a": {"pid": 1',
    "another kind": b"[1, 2]\n",
}


def test_what_dvc_would_restore_as_damaged_as_it_is_goes_out_of_its_cache_too(tmp_path):
    (path := tmp_path / "timings.json").write_bytes(CONTENT["no UTF-8"])
    with pytest.raises(AssayError, match=re.escape(again(Path(path.name)))):
        records.load_json(path, tmp_path)
    with pytest.raises(AssayError, match=re.escape(again(path))):
        curves.read(path)
    with pytest.raises(AssayError, match=r"; delete it and run `dvc repro`$"):  # which git has
        summary.read(path)


def test_what_a_stage_depends_on_is_not_to_be_deleted(tmp_path):
    """DVC refuses a dependency that is not there."""
    path = tmp_path / report.SPARSITY
    path.parent.mkdir()
    for broken in ("{", "[1]"):
        path.write_text(broken)
        with pytest.raises(AssayError, match=f"^{report.SPARSITY}: .*; `git checkout -- {report.SPARSITY}` restores"):
            report.read_sparsity(tmp_path, DENSE)


@pytest.mark.parametrize("name", ["metrics/claims.json", "metrics/seeds.csv", "metrics/timings.json"])
def test_a_file_of_a_revision_is_not_to_be_replaced(tmp_path, name):
    for broken in ("x", '"x"'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(broken)
        own = ("-c", "user.name=x", "-c", "user.email=x@x")
        for command in (("init", "--quiet"), ("add", "."), (*own, "commit", "--quiet", "-m", "x")):
            dag.git(tmp_path, *command)
        with pytest.raises(AssayError, match=f"^{name} of HEAD: .*; name another BASE$"):
            snapshot.read(tmp_path, "HEAD")
        with pytest.raises(AssayError, match=f"^{name}: .*; take it from git again, or delete it"):
            snapshot.read(tmp_path)


@pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_a_line_that_names_it(tmp_path, name, content):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found, said = None, path.name
    try:
        found = READERS[name](tmp_path)
    except AssayError as error:
        said = str(error)
    assert path.name in said
    assert "\n" not in said
    assert not found, "it is taken for a result"
