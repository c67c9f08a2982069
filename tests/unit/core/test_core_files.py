"""Files are whole or absent."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from assay.core import files
from assay.core.errors import one_line_errors


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "folder" / "file.txt"
    files.write_text(path, "old")

    def write_and_fail():
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_directory_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "model"
    for names in (("a", "b"), ("c",)):
        with files.replacing(folder) as temporary:
            temporary.mkdir()
            for name in names:
                (temporary / name).write_text(name)
    assert [path.name for path in folder.iterdir()] == ["c"]
    assert list(tmp_path.iterdir()) == [folder]


def test_json_is_deterministic_and_refuses_what_is_no_number(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": 1, "a": [0.1, "ü"]})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": 1,\n  "a": [\n    0.1,\n    "ü"\n  ]\n}\n'
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(tmp_path / "b.json", {"a": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_digests(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert files.file_digest(tmp_path / "file", "md5") == "900150983cd24fb0d6963f7d28e17f72"
    assert files.file_digest(tmp_path / "file").startswith("ba7816bf")
    assert files.content_digest({"a": 1, "b": 2}) == files.content_digest({"b": 2, "a": 1})
    assert files.content_digest({"a": 1}) != files.content_digest({"a": 2})


NOBODY = 65534


def fail_in_torch(temporary):
    """torch's own error has no number; the one that it comes of does."""

    class Full:
        def write(self, content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def flush(self):
            pass

    torch.save({"a": torch.zeros(3)}, Full())


def fail_in_safetensors(temporary):
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def fail_in_write(temporary):
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))  # as `write` does, without a name


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (fail_in_torch, "no space left on the device"),
        (fail_in_safetensors, "no space left on the device"),
        (fail_in_write, "disk quota exceeded"),
    ],
)
def test_what_the_file_system_refuses_is_a_line_with_the_path_whatever_library_writes(tmp_path, capsys, fail, reason):
    path = tmp_path / "file"

    def write() -> None:
        with one_line_errors(), files.replacing(path) as temporary:
            temporary.write_bytes(b"half")
            fail(temporary)

    with pytest.raises(SystemExit, match="2"):
        write()
    said = f"error: {reason}: {path}; free some and run it again: what is done is kept\n"
    assert capsys.readouterr().err == said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "no such file", "x"), RuntimeError("a bug")])
def test_what_is_no_failure_of_the_file_system_keeps_its_traceback(error):
    with pytest.raises(type(error)) as caught, one_line_errors():
        raise error
    assert caught.value is error


def test_a_real_limit_is_such_a_failure(tmp_path):
    script = (
        "import resource, torch\n"
        "from pathlib import Path\n"
        "from safetensors.torch import save_file\n"
        "from assay.core import files\n"
        "from assay.core.errors import one_line_errors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "with one_line_errors(), files.replacing(Path('weights')) as temporary:\n"
        "    save_file({'a': torch.zeros(10000)}, temporary)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: file larger than this system allows: weights; ")
    assert list(tmp_path.iterdir()) == []


def write_new(folder):
    files.write_json(folder / "new.json", {})


def read_old(folder):
    files.read_json(folder / "old.json")


@pytest.mark.parametrize("act", [write_new, read_old])
def test_a_missing_permission_is_a_line_also_for_reading(capsys, act):
    """Root may do everything, so there the act is somebody else's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "old.json").write_text("{}")
        (folder / "old.json").chmod(0)
        folder.chmod(0o555)
        is_root = os.geteuid() == 0
        try:
            if is_root:
                os.seteuid(NOBODY)
            with pytest.raises(SystemExit, match="2"), one_line_errors():
                act(folder)
        finally:
            if is_root:
                os.seteuid(0)
            folder.chmod(0o755)
        said = capsys.readouterr().err
        assert said.startswith(f"error: no permission: {folder}/")
        assert said.endswith(".json; allow this user to read and write it and run it again: what is done is kept\n")
        assert len(said.splitlines()) == 1


def test_what_a_killed_process_left_is_removed_by_the_next_write_of_the_same_path(tmp_path):
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / f".model.{dead}.part").mkdir()
    (tmp_path / f".model.{dead}.part" / "weights").write_text("half")
    (tmp_path / ".model.1.part").write_text("of a process that runs")
    (tmp_path / f".other.{dead}.part").write_text("of another path")
    files.write_text(tmp_path / "model", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model.1.part", f".other.{dead}.part", "model"]
