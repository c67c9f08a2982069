"""Files are whole or absent."""

from __future__ import annotations

import pytest

from assay.foundation import files


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
