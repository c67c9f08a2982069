"""What `assay check` passes, DVC resolves into the stages asked for; what it refuses is one line.

DVC resolves dvc.yaml in this process, and reads each parameter that a stage depends on as it would before running it.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from clone import PARAMS, Clone
from PIL import Image
from ruamel.yaml import YAML

from assay import models
from assay.cli.repro import check
from assay.core import config, files
from assay.core.config import SEEDS_FILE, Data
from assay.core.config.blocks import NO_BLOCKS
from assay.core.errors import AssayError
from assay.data import folder as own

ROOT = Path(__file__).parents[2]
LEAST = {key: PARAMS[key] for key in ("seeds", "data", "model", "train")}
CLAIM = PARAMS["claims"][0]
FIXED = ["register", "scan", "download", "prepare", "baseline", "evaluate_baseline", "compare", "track"]


def text(**changes) -> str:
    stream = io.StringIO()
    YAML().dump({**PARAMS, **changes}, stream)
    return stream.getvalue()


def least(more: str = "") -> str:
    stream = io.StringIO()
    YAML().dump(LEAST, stream)
    return f"{stream.getvalue()}{more}\n"


ROUNDS = "prune_fraction: 0.2, scope: layerwise, rewind: 0"
VALID = {
    "as it is": text(),
    "no arms, rounds or claims": least(),
    "arms alone": least("arms: {cyclic: {method: sgd, batches: fixed}}"),
    "claims alone": least("claims: []"),
    "a claim of a preset": least("claims: [{id: c, paper: p, statement: s, preset: subset_mnist}]"),
    "rounds alone": least(f'lottery: {{{ROUNDS}, rounds: {{"1": {{after: baseline}}}}, controls: [1]}}'),
    "no rounds": least(f"lottery: {{{ROUNDS}, rounds: {{}}, controls: []}}"),
    "empty, not absent": least("arms: {}\nclaims: []\nlottery: {}\nrule: {}"),
    "rounds that are none, alone": least("lottery: {rounds: {}}"),
    "words of YAML 1.1 as names": least("arms: {yes: {method: sgd}, no: {method: sgd}, on: {method: sgd}}"),
    "words of DVC as names": least("arms: {item: {method: sgd}, key: {method: sgd}, params: {method: sgd}}"),
    "the longest name": least(f"arms: {{{'a' * 100}: {{method: sgd}}}}"),
    "names that differ in case": least("arms: {a: {method: sgd}, A: {method: sgd}}"),
    "a quoted name": least('arms: {"a": {"method": \'sgd\'}}'),
    "an anchor and a merge": least("arms:\n  a: &a {method: sgd, steps: 70}\n  b: {<<: *a, batches: fixed}"),
    "an alias": least("arms: {a: {method: sgd, model: &m {name: linear}}, b: {method: sgd, model: *m}}"),
    "another order": "claims: []\n" + least("arms: {}"),
    "a mark of UTF-8": "\ufeff" + least(),
    "lines of Windows": least("arms: {a: {method: sgd}}").replace("\n", "\r\n"),
    "a document's marks": f"%YAML 1.2\n---\n{least()}...\n",
    "a directive of YAML 1.1": f"%YAML 1.1\n---\n{least('arms: {yes: {method: sgd}}')}",
    "a template in a text": least("claims: [{id: c, paper: p, statement: '${arms} ${nothing}', preset: x}]"),
    "a number with an exponent": least("arms: {a: {method: sgd, optimizer: {name: sgd, lr: 1e-3}}}"),
    "a number with underscores": least("arms: {a: {method: sgd, steps: 1_00}}"),
    "great seeds": text(seeds=[0, 2**63 - 1], arms={}, claims=[]),
    "no validation": text(data={"name": "digits", "validation": 0}),
    "one seed": text(seeds=[3]),
    "a text of other scripts": text(claims=[{**CLAIM, "statement": "精度は同じ. Ärger: ‘ja’ 😀"}]),
}
REFUSED = {
    "a claim on a variant that is none": (text(claims=[{**CLAIM, "arm": "cyclic/lst"}]), "claims.fixed-is-enough.arm"),
    "a name too long for a file": (least(f"arms: {{{'a' * 251}: {{method: sgd}}}}"), f"arms.{'a' * 251}: got"),
    "arms all commented out": (least("arms:"), "arms: got None"),
    "rounds all commented out": (least("lottery:"), "lottery: got None"),
    "claims all commented out": (least("claims:"), "claims: got None"),
    "a round without what it reads": (
        least('lottery: {rounds: {"1": {after: baseline}}}'),
        "lottery.prune_fraction: m",
    ),
    "infinity": (least("arms: {a: {method: sgd, optimizer: {name: sgd, lr: .inf}}}"), "arms.a.optimizer.lr: got inf"),
    "an arm named as a round": (least("arms: {round-1: {method: sgd}}"), "arms.round-1: got 'round-1'"),
    "UTF-16": (least().encode("utf-16"), "not UTF-8 text"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("resolved")
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (folder / "src/assay/data").mkdir(parents=True)
    for name in ("dvc.yaml", "src/assay/data/catalog.yaml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / SEEDS_FILE).write_text(NO_BLOCKS.text())
    return folder


def resolved(root: Path) -> list[str]:
    """The stages as DVC sees them, with every parameter that they depend on read."""
    from dvc.dependency.param import ParamsDependency
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        for stage in repo.index.stages:
            for dep in stage.deps:
                if isinstance(dep, ParamsDependency):
                    assert dep.get_hash()
        return sorted(stage.addressing for stage in repo.index.stages)


@pytest.mark.parametrize("name", VALID)
def test_what_is_passed_dvc_resolves(root, name, monkeypatch):
    (root / "params.yaml").write_text(VALID[name], encoding="utf-8", newline="")
    monkeypatch.chdir(root)
    check()
    params = config.load()
    files.write_json(root / models.DIGESTS, {"networks": models.digests(params.runs())})  # as `register`
    arms = [f"{stage}@{arm}" for arm in params.arms for stage in ("train", "evaluate")]
    rounds = [f"{stage}@{n}" for n in params.lottery.numbers for stage in ("prune", "evaluate_round")]
    assert resolved(root) == sorted([*FIXED, *arms, *rounds])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_one_line(root, name, monkeypatch):
    content, line = REFUSED[name]
    (root / "params.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(root)
    with pytest.raises(AssayError) as raised:
        check()
    said = [each.removeprefix("params.yaml: ") for each in str(raised.value).splitlines()]
    assert said[0].startswith(line)
    assert len(said) == 1 or name == "a round without what it reads"


def test_own_images_are_counted_where_they_are(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    for split, count in (("train", 135), ("test", 2)):
        for label in ("cat", "dog"):
            (root / f"data/own/{split}/{label}").mkdir(parents=True)
        for number in range(count):
            (root / f"data/own/{split}/{('cat', 'dog')[number % 2]}/{number}.png").touch()
    data = {"name": "folder", "side": 8, "validation": 500}
    changes = {"arms": {}, "claims": [], "lottery": {**PARAMS["lottery"], "rounds": {}, "controls": []}}
    (root / "params.yaml").write_text(text(data=data, **changes))
    with pytest.raises(
        AssayError, match=r"^params.yaml: data.validation: got 500; it must be less than the 135 training"
    ):
        check()
    changes["arms"] = {"hard": {"method": "hard_batches", "batch_size": 60}}
    (root / "params.yaml").write_text(text(data={**data, "validation": 27}, **changes))
    with pytest.raises(AssayError, match=r"^params.yaml: arms.hard.batch_size: 108 training examples make one batch"):
        check()
    (root / "params.yaml").write_text(text(data={**data, "validation": 14}, **changes))
    check()
    assert "images: train 121, validation 14, test 2; on this test set a difference" in capsys.readouterr().out
    monkeypatch.setenv("ASSAY_DATA_DIR", str(root / "elsewhere"))
    (root / "params.yaml").write_text(text(data=data, **changes))
    check()  # nothing is known of images that are not here
    monkeypatch.setenv("ASSAY_DEVICE", "gpu")
    with pytest.raises(AssayError, match=r"^ASSAY_DEVICE=gpu: "):
        check()


def test_blocks_of_arms_that_were_removed_are_one_line(root, monkeypatch):
    monkeypatch.chdir(root)
    (root / "params.yaml").write_text(least(), encoding="utf-8")
    kept = (root / SEEDS_FILE).read_text()
    (root / SEEDS_FILE).write_text(
        "more: {a-1: {arm: a, method: sgd, seeds: [2]}, b-1: {arm: b, method: sgd, seeds: [2]}}"
    )
    with pytest.raises(
        AssayError, match=r"^seeds.yaml: more.a-1, more.b-1: params.yaml has none of these arms; [^\n]*$"
    ):
        check()
    (root / SEEDS_FILE).write_text(kept)


def test_the_pipeline_runs_without_arms_rounds_and_claims(tmp_path):
    clone = Clone(tmp_path)
    clone.write({**LEAST, "train": {**LEAST["train"], "steps": 20}})
    assert sorted(clone.repro()) == sorted(FIXED)
    assert clone.repro() == []


def test_download_says_what_check_could_not_know(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "own"))
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            folder = tmp_path / "own" / split / label
            folder.mkdir(parents=True)
            Image.new("RGB", (4, 4), "red" if label == "cat" else "blue").save(folder / f"{split}.png")
    raw, work = tmp_path / "raw", tmp_path / "work"
    raw.mkdir()
    fits = Data(name="folder", side=4, validation=1)
    line = r"^params.yaml: data.validation: got 2; it must be less than the 2 training images of folder$"
    with pytest.raises(AssayError, match=line):
        own.obtain(fits.model_copy(update={"validation": 2}), raw, raw)
    assert not list(raw.iterdir())
    assert own.obtain(fits, raw, raw)
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "gone"))  # what was packed is all there is
    with pytest.raises(AssayError, match=line):
        own.obtain(fits.model_copy(update={"validation": 2}), raw, work)


def test_a_missing_seeds_file_is_said_before_dvc_meets_it(root, monkeypatch):
    monkeypatch.chdir(root)
    (root / "params.yaml").write_text(VALID["as it is"], encoding="utf-8")
    kept = (root / SEEDS_FILE).read_text()
    (root / SEEDS_FILE).unlink()
    with pytest.raises(AssayError, match=r"^seeds.yaml: not found, and dvc.yaml needs it; `git checkout seeds.yaml`$"):
        check()
    (root / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")  # a pipeline of the user's own without blocks
    check()
    (root / SEEDS_FILE).write_text(kept)
    check()
