"""`python -m stages.evaluate`: from a trained artifact on disk to its record and predictions, and back."""

import json
from pathlib import Path
from statistics import fmean

import pytest
import torch
from safetensors.numpy import load_file, save_file

from assay import models
from assay.core.errors import AssayError
from assay.data.sets import prepared
from assay.models import artifact
from assay.scoring import metrics, record
from stages import evaluate


@pytest.fixture
def digest(data, tmp_path, monkeypatch) -> str:
    """Prepared data in a fresh folder, which is made the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_DEVICE", "cpu")
    monkeypatch.setenv("ASSAY_THREADS", "1")
    return prepared.write(Path("data/prepared"), data)


def write_model(data, digest: str, name: str = "probe") -> artifact.Artifact:
    """Two variants of untrained linear networks."""
    network = models.build("linear", data.images)
    seeds, generator = 3, torch.Generator().manual_seed(1)
    weights = {
        variant: {
            key: torch.randn((seeds, members, *tensor.shape), generator=generator)
            for key, tensor in network.state_dict().items()
        }
        for variant, members in (("last", 1), ("ensemble", 2))
    }
    images = {key: getattr(data.images, key) for key in ("channels", "height", "width", "classes")}
    made = artifact.Artifact(
        manifest=artifact.Manifest(
            arm=name,
            method="sgd",
            seeds=[3, 1, 4],
            model=artifact.ModelRecord(name="linear"),
            images=images,
            parameters={"train": {"steps": 5, "precision": "float32"}},
            data_digest=digest,
            variants={
                "last": artifact.Variant(members=1, best_step=[5, 4, 5], cost=artifact.Cost(train_samples=80)),
                "ensemble": artifact.Variant(members=2, density=0.5),
            },
        ),
        weights=weights,
    )
    artifact.write(Path("models") / name, made)
    return made


def test_the_record_has_the_designs_form(data, digest):
    write_model(data, digest)
    evaluate.main("probe")
    content = json.loads(Path("metrics/evaluate/probe.json").read_text())
    (found,) = content.pop("evaluation")
    assert content == {
        **{
            f"test_{name}": pytest.approx(fmean(found["variants"]["last"][name]), abs=1e-6)
            for name in ("accuracy", "nll", "ece")
        },
        "training_cost": 240.0,
    }  # what metrics/metrics.json has of an arm, which DVC shows
    assert found["arm"] == "probe"
    assert (found["method"], found["seeds"], found["data"]) == ("sgd", [3, 1, 4], "synthetic")
    assert (found["data_digest"], found["model"]["name"]) == (digest, "linear")
    assert list(found["class_counts"]) == list(data.class_names)
    assert list(found["class_counts"].values()) == data.test.labels.bincount(minlength=data.images.classes).tolist()
    assert list(found["variants"]) == ["last", "ensemble"]
    last, ensemble = found["variants"].values()
    for variant in (last, ensemble):
        assert all(len(variant[metric]) == 3 for metric in (*metrics.quality(), "temperature") if metric != "top_5")
        assert "top_5" not in variant  # of four classes
    assert (last["members"], last["train_samples"], last["best_step"]) == (1, 80, [5, 4, 5])
    assert (ensemble["members"], ensemble["density"]) == (2, 0.5)
    assert last["disagreement"] == []
    assert len(ensemble["disagreement"]) == 3


def test_accuracy_is_that_of_the_plain_network(data, digest):
    made = write_model(data, digest)
    evaluate.main("probe")
    network = models.build("linear", data.images).eval()
    expected = []
    for seed in range(3):
        network.load_state_dict(artifact.state_dict(made, "last", seed))
        logits = network((data.test.images.float() - 80) / 50)
        expected.append(float((logits.argmax(-1) == data.test.labels).float().mean()))
    assert record.read(Path(), "probe").record.variants["last"].accuracy == pytest.approx(expected)


def test_the_same_model_gives_the_same_bytes(data, digest):
    write_model(data, digest)
    paths = [Path("metrics/evaluate/probe.json"), Path("data/predictions/probe.safetensors")]
    evaluate.main("probe")
    first = [path.read_bytes() for path in paths]
    evaluate.main("probe")
    assert [path.read_bytes() for path in paths] == first


def test_a_model_trained_on_other_data_is_refused(data, digest):
    write_model(data, "f" * 64)
    with pytest.raises(AssayError, match=r"^models/probe: trained on data ffffffffffff, but data/prepared holds "):
        evaluate.main("probe")
    assert not Path("metrics").exists()


def test_a_model_that_is_not_there_is_one_line(digest):
    with pytest.raises(AssayError, match=r"^models/nobody/manifest.json: not found"):
        evaluate.main("nobody")


@pytest.fixture
def evaluated(data, digest) -> Path:
    for name in ("baseline", "arm", "round-2", "round-10"):
        write_model(data, digest, name)
        evaluate.main(name)
    return Path()


def test_evaluations_are_read_back(evaluated):
    found = record.read_all(evaluated, ["arm", "round-2", "round-10"])
    assert list(found) == ["baseline", "arm", "round-2", "round-10"]
    assert found["arm"].predictions["ensemble"].correct.shape == (3, 32)


def test_a_file_of_an_arm_or_round_that_is_gone_is_not_read(evaluated):
    assert list(record.read_all(evaluated, ["round-2"])) == ["baseline", "round-2"]


def test_the_networks_of_another_arm_are_refused(data, digest):
    write_model(data, digest)
    Path("models/probe").rename("models/other")
    with pytest.raises(AssayError, match=r"^models/other: holds the networks of probe; .*dvc repro"):
        evaluate.main("other")
    assert not Path("metrics").exists()


def test_evaluations_of_different_data_are_refused(evaluated):
    path = Path("metrics/evaluate/arm.json")
    other = record.read_record(evaluated, "arm").model_copy(update={"data_digest": "x" * 64})
    path.write_text(json.dumps({"evaluation": [other.signed()]}))
    with pytest.raises(AssayError, match=r"^metrics/evaluate/arm.json: evaluated on data x.*, baseline on "):
        record.read_all(evaluated, ["arm"])


def zero(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: -len(content) // 4].ljust(len(content), b"\0"))


def reverse(path: Path) -> None:
    """A whole file of the same shapes that holds other predictions."""
    save_file({name: array[..., ::-1].copy() for name, array in load_file(path).items()}, path)


def unsign(path: Path) -> None:
    """As versions without digests wrote it."""
    (found,) = json.loads(path.read_text())["evaluation"]
    path.write_text(json.dumps({"evaluation": [{key: value for key, value in found.items() if key != "digest"}]}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda: Path("metrics/evaluate/arm.json").unlink(), "metrics/evaluate/arm.json: not found"),
        (lambda: Path("metrics/evaluate/arm.json").write_text("{"), "metrics/evaluate/arm.json: not JSON"),
        (lambda: Path("metrics/evaluate/arm.json").write_text("{}"), "metrics/evaluate/arm.json: arm: missing"),
        (lambda: Path("data/predictions/arm.safetensors").unlink(), "data/predictions/arm.safetensors: not found"),
        (lambda: Path("data/predictions/arm.safetensors").write_text("x"), "data/predictions/arm.safetensors: "),
        (
            lambda: Path("metrics/evaluate/arm.json").write_text(
                Path("metrics/evaluate/arm.json").read_text().replace('"test_examples": 32', '"test_examples": 33')
            ),
            "metrics/evaluate/arm.json: damaged or altered: .*rm -r metrics/evaluate/arm.json",
        ),
        (lambda: zero(Path("data/predictions/arm.safetensors")), "data/predictions/arm.safetensors: damaged .*rm -r"),
        (
            lambda: reverse(Path("data/predictions/arm.safetensors")),
            "data/predictions/arm.safetensors: damaged or altered: not the SHA-256 in metrics/evaluate/arm.json",
        ),
        (lambda: unsign(Path("metrics/evaluate/arm.json")), "metrics/evaluate/arm.json: holds no digest.*`dvc repro`"),
    ],
)
def test_damaged_files_are_named(evaluated, damage, message):
    damage()
    with pytest.raises(AssayError, match=f"^{message}"):
        record.read_all(evaluated, ["arm"])
