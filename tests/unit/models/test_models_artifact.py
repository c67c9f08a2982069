"""The artifact on disk: the fixed format, checked both ways."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from assay.core import files
from assay.core.errors import AssayError
from assay.models import artifact
from assay.models.artifact import Artifact, Manifest, ModelRecord, Variant


@pytest.fixture
def line() -> Artifact:
    """Two seeds; a midpoint of one member and an ensemble of two; one with masks."""
    manifest = Manifest(
        arm="line",
        method="subspace",
        seeds=[3, 5],
        model=ModelRecord(name="linear"),
        images={"channels": 1, "height": 2, "width": 2, "classes": 3},
        parameters={"steps": 10},
        data_digest="0" * 64,
        variants={"midpoint": Variant(members=1, density=0.5), "ensemble": Variant(members=2)},
    )
    weights = {
        "midpoint": {"1.weight": torch.randn(2, 1, 3, 4), "1.bias": torch.randn(2, 1, 3)},
        "midpoint.mask": {"1.weight": torch.ones(2, 1, 3, 4)},
        "ensemble": {"1.weight": torch.randn(2, 2, 3, 4), "1.bias": torch.randn(2, 2, 3)},
    }
    return Artifact(manifest=manifest, weights=weights)


def test_the_format_on_disk(line, tmp_path):
    artifact.write(tmp_path / "line", line)
    assert sorted(path.name for path in (tmp_path / "line").iterdir()) == ["manifest.json", "weights.safetensors"]
    tensors = load_file(tmp_path / "line" / artifact.WEIGHTS)
    assert tensors["ensemble/1.weight"].shape == (2, 2, 3, 4)
    assert "midpoint.mask/1.weight" in tensors


def test_it_comes_back_as_it_was(line, tmp_path):
    artifact.write(tmp_path / "line", line)
    back = artifact.read(tmp_path / "line")
    assert back.manifest.model_copy(update={"weights_sha256": "", "digest": ""}) == line.manifest
    for variant, state in line.weights.items():
        for name, tensor in state.items():
            assert torch.equal(back.weights[variant][name], tensor)
    assert torch.equal(artifact.state_dict(back, "ensemble", 1, 1)["1.bias"], line.weights["ensemble"]["1.bias"][1, 1])


def test_equal_artifacts_give_equal_bytes_whatever_the_folder_is_called(line, tmp_path):
    for name in ("one", "another_name"):
        artifact.write(tmp_path / name, line)
    for file in (artifact.WEIGHTS, artifact.MANIFEST):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "another_name" / file).read_bytes()


def test_weights_and_manifest_that_do_not_belong_together_are_refused(line, tmp_path):
    line.weights["ensemble"]["1.bias"] = torch.randn(2, 3, 3)
    with pytest.raises(AssayError, match=r"ensemble/1.bias has shape \(2, 3, 3\).*2 seeds, 2 members"):
        artifact.write(tmp_path / "line", line)
    assert not (tmp_path / "line").exists()
    line.weights["curve"] = {"1.weight": torch.zeros(2, 1, 3)}
    with pytest.raises(AssayError, match=r"curve: its variant is not in the manifest \(midpoint, ensemble"):
        artifact.write(tmp_path / "line", line)
    del line.weights["curve"], line.weights["ensemble"]
    with pytest.raises(AssayError, match="'ensemble' of the manifest has no weights"):
        artifact.write(tmp_path / "line", line)


def truncate(folder):
    path = folder / artifact.WEIGHTS
    path.write_bytes(path.read_bytes()[:-10])


def zero(folder):
    """A quarter of the file, behind its header, as a bad disk does."""
    path = folder / artifact.WEIGHTS
    content = path.read_bytes()
    path.write_bytes(content[: -len(content) // 4].ljust(len(content), b"\0"))


def swap(folder):
    """Weights of the right shapes, whole, but of another training."""
    path = folder / artifact.WEIGHTS
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)


def change(**changes):
    def write(folder):
        content = files.read_json(folder / artifact.MANIFEST) | changes
        files.write_json(folder / artifact.MANIFEST, {key: v for key, v in content.items() if v is not None})

    return write


def without(name):
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"weights\.safetensors: damaged .*rm -r .*; dvc repro`"),
        (zero, r"weights\.safetensors: damaged or altered: not the SHA-256 in manifest\.json; .*rm -r .*; dvc repro`"),
        (swap, r"weights\.safetensors: damaged or altered"),
        (change(method="sgd"), r"manifest\.json: damaged or altered: .*rm -r .*; dvc repro`"),
        (change(weights_sha256="0" * 64), r"manifest\.json: damaged or altered"),
        (change(digest=None), r"manifest\.json: holds no digest, as older versions wrote it; run `dvc repro`"),
        (without(artifact.WEIGHTS), r"weights\.safetensors: "),
        (without(artifact.MANIFEST), r"manifest\.json: not found"),
        (lambda folder: (folder / artifact.MANIFEST).write_text("{"), r"manifest\.json: not JSON"),
        (lambda folder: files.write_json(folder / artifact.MANIFEST, {"arm": "x"}), r"manifest\.json: method: missing"),
    ],
)
def test_damage_is_named(line, tmp_path, damage, message):
    artifact.write(tmp_path / "line", line)
    damage(tmp_path / "line")
    with pytest.raises(AssayError, match=message):
        artifact.read(tmp_path / "line")
