"""Many images are decoded by several processes; what comes of it is as if it were one."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import psutil
import pytest
from PIL import Image

from assay.core.config import Data
from assay.core.errors import AssayError
from assay.data import folder, sources

DATA = Data(name="folder", validation=0, side=8)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Two classes of twelve and four images of noise, one of a single colour and one with transparency among them."""
    root, draw = tmp_path / "own", np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for n in range(count):
                pixels = draw.integers(0, 256, (12, 9, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{n:02}.png")
    Image.new("RGB", (9, 9), (1, 2, 3)).save(root / "train/dog/05.png")
    Image.new("RGBA", (9, 9), (1, 2, 3, 4)).save(root / "train/dog/06.png")
    monkeypatch.setenv("ASSAY_DATA_DIR", str(root))
    monkeypatch.setenv("ASSAY_THREADS", "2")
    monkeypatch.setattr(folder, "TOGETHER", 3)
    monkeypatch.setattr("assay.data.progress.SECONDS_BETWEEN_LINES", 1e9)  # processes start slowly on a busy machine
    return root


@pytest.fixture
def in_parallel(monkeypatch):
    monkeypatch.setattr(folder, "MANY", 8)


def decoders():
    return [child for child in psutil.Process().children() if any("spawn_main" in word for word in child.cmdline())]


def packed(tmp_path, capsys):
    sources.obtain(DATA, tmp_path / "data/raw")
    return {path.name: path.read_bytes() for path in (tmp_path / "data/raw").iterdir()}, capsys.readouterr().out


def on_first_update(monkeypatch, act):
    """Call `act` when the first images are reported as packed."""
    update = folder.Progress.update

    def acting(bar, count):
        if "packing" in bar._title and not bar._done:
            act()
        update(bar, count)

    monkeypatch.setattr(folder.Progress, "update", acting)


def test_files_and_messages_are_those_of_one_process(tree, tmp_path, capsys, monkeypatch):
    expected = packed(tmp_path / "one", capsys)
    assert "with transparency" in expected[1]
    assert "of a single colour: train/dog/05.png" in expected[1]
    at_work = []
    monkeypatch.setattr(folder, "MANY", 8)
    on_first_update(monkeypatch, lambda: at_work.extend(decoders()))
    assert packed(tmp_path / "two", capsys) == expected
    assert len(at_work) == 2
    assert not decoders()


def test_one_thread_is_one_process(tree, tmp_path, capsys, monkeypatch, in_parallel):
    monkeypatch.setenv("ASSAY_THREADS", "1")
    monkeypatch.setattr(folder, "ProcessPoolExecutor", None)
    packed(tmp_path, capsys)


def test_all_images_that_cannot_be_read_are_named_in_their_order(tree, tmp_path, in_parallel):
    wrong = [tree / name for name in ("train/cat/11.png", "train/dog/00.png", "test/dog/02.png")]
    for path in wrong:
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(AssayError) as caught:
        sources.obtain(DATA, tmp_path / "data/raw")
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [str(path) for path in wrong]
    assert not list((tmp_path / "data").iterdir())


def test_a_process_that_dies_is_one_line(tree, tmp_path, monkeypatch, in_parallel):
    class Doomed(ProcessPoolExecutor):
        def map(self, *args):
            results = super().map(*args)  # which starts the processes
            for child in decoders():
                child.kill()
            return results

    monkeypatch.setattr(folder, "ProcessPoolExecutor", Doomed)
    with pytest.raises(AssayError, match=r"^a process that decodes images died: .*; ASSAY_THREADS=1 decodes .*$"):
        sources.obtain(DATA, tmp_path / "data/raw")
    assert not list((tmp_path / "data").iterdir())


def test_an_interrupt_ends_all_processes_and_leaves_nothing(tree, tmp_path, monkeypatch, in_parallel):
    def interrupt():
        raise KeyboardInterrupt

    on_first_update(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        sources.obtain(DATA, tmp_path / "data/raw")
    assert not decoders()
    assert not list((tmp_path / "data").iterdir())
