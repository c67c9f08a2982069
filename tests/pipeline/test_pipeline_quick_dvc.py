"""DVC with its slow habits replaced writes the dvc.lock that DVC itself writes."""

from __future__ import annotations

import shutil

import pytest
from clone import ran
from dvc.dependency import param
from dvc.fs import localfs
from shell_pipeline import Tiny

from assay.pipeline.quick_dvc import quick, with_entry

LOCK = "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    deps:\n    - path: y\n  b@1:\n    cmd: z\n"


@pytest.mark.parametrize("change", ["nothing recorded yet", "a parameter", "an entry that nothing names", "a merge"])
def test_dvc_lock_is_dvc_s_own(filled, tmp_path, change):
    texts = {}
    for name, command in (("dvc", ["dvc"]), ("quick", ["python", "-m", "assay.pipeline.quick_dvc"])):
        shutil.copytree(filled[0].folder, tmp_path / name, symlinks=True)
        tiny = Tiny(tmp_path / name)
        lock = tiny.folder / "dvc.lock"
        if change == "nothing recorded yet":
            lock.unlink()
            shutil.rmtree(tiny.folder / ".dvc/cache/runs")
        elif change == "a parameter":
            tiny.change("params.yaml", "steps: 10", "steps: 11")
        elif change == "an entry that nothing names":
            lock.write_text(lock.read_text().replace("  train@a:\n", "  train@gone:\n"))
            shutil.rmtree(tiny.folder / ".dvc/cache/runs")
        else:
            lock.write_text(f"<<<<<<< ours\n{lock.read_text()}=======\n>>>>>>> theirs\n")
        done = tiny.run(*command, "repro", check=False)
        texts[name] = (done.returncode, lock.read_text(), ran(done.stdout))
    assert texts["quick"] == texts["dvc"]
    assert bool(texts["dvc"][0]) == (change == "a merge")
    assert bool(texts["dvc"][2]) == (change != "a merge")


def test_parameters_are_parsed_once_and_again_when_they_were_changed(tmp_path, monkeypatch):
    path, parsed, load = tmp_path / "params.yaml", [], param.load_path
    monkeypatch.setattr(param, "load_path", lambda *given, **options: parsed.append(given) or load(*given, **options))
    path.write_text("steps: 10\n")
    with quick():
        assert [param.load_path(str(path), localfs) for _ in range(3)] == [{"steps": 10}] * 3
        assert len(parsed) == 1
        path.write_text("steps: 11\n")  # as long, within the same second: DVC would record what the stage did not read
        assert param.load_path(str(path), localfs) == {"steps": 11}
        path.unlink()
        with pytest.raises(FileNotFoundError):
            param.load_path(str(path), localfs)


def test_an_entry_takes_the_place_of_its_own_or_the_end():
    assert with_entry(LOCK, "  a:\n    cmd: w\n") == LOCK.replace("x\n    deps:\n    - path: y", "w")
    assert with_entry(LOCK, "  b@1:\n    cmd: w\n") == LOCK.replace("cmd: z", "cmd: w")
    assert with_entry(LOCK, "  b@11:\n    cmd: w\n") == f"{LOCK}  b@11:\n    cmd: w\n"
    assert with_entry(LOCK, "  b:\n    cmd: w\n") == f"{LOCK}  b:\n    cmd: w\n"


@pytest.mark.parametrize(
    "text", ["", LOCK[:-1], f"{LOCK}datasets: []\n", LOCK.replace("  b", "=======\n  b"), LOCK[1:]]
)
def test_a_file_that_is_not_as_dvc_writes_it_is_left_to_dvc(text):
    assert with_entry(text, "  a:\n    cmd: w\n") is None
