"""The source of each arm's network: found without being imported, and what DVC compares."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assay import models
from assay.core import files
from assay.core.config import Model
from assay.core.errors import AssayError


@pytest.fixture
def digests(make_run) -> dict[str, str]:
    return models.digests([make_run(arm="baseline"), make_run(arm="deep", model=Model(name="vgg", depth=11))])


def test_they_are_of_the_file_that_names_the_model(digests):
    assert digests["deep"] == files.file_digest(models.NETS / "vgg.py")
    assert digests["baseline"] != digests["deep"]


def test_no_network_is_imported_to_find_it():
    code = (
        "import sys; from assay import models; models.names(), models.source('vgg');"
        "print([name for name in sys.modules if name.startswith('assay.models.nets.')])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"[]\n"


def test_each_file_names_its_networks_once_and_imports_no_other_file():
    assert len(models.names()) == len(set(models.names()))
    for path in models.NETS.glob("[!_]*.py"):
        assert "assay.models.nets." not in path.read_text()


def test_a_file_that_was_edited_since_is_refused(digests, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models.verify("deep", Model(name="vgg"))  # nothing to compare with
    files.write_json(Path(models.DIGESTS), {"networks": digests})
    models.verify("deep", Model(name="vgg"))
    with pytest.raises(AssayError, match=r"arms\.deep\.model\.name: unknown model 'vg'"):
        models.verify("deep", Model(name="vg"), "params.yaml: arms.deep.model")
    files.write_json(Path(models.DIGESTS), {"networks": {**digests, "deep": "0" * 64}})
    with pytest.raises(AssayError, match=r"vgg\.py: edited since the stage register ran; run `dvc repro` again"):
        models.verify("deep", Model(name="vgg"))


@pytest.mark.parametrize(
    "content", ['{"networks": {"baseline": "0"}}', "{}", "[]", '{"networks": null}', "<<<<<<< HEAD\n"]
)
def test_a_file_without_the_digest_is_told_with_what_writes_it(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_text(Path(models.DIGESTS), content)
    with pytest.raises(
        AssayError, match=r"^metrics/networks\.json: (holds|not JSON).*; `dvc repro register` writes it$"
    ):
        models.verify("round-1", Model(name="linear"))
