"""`assay export`: any trained network as a plain state dict, with the logits it has in its stack."""

from __future__ import annotations

import re
from dataclasses import replace

import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from assay import cli, methods, models
from assay.core.config import Model
from assay.data.sets import prepared
from assay.data.sets.augment import normalise
from assay.engine import batch_norm
from assay.engine.checkpoint import Scratch
from assay.engine.stack import predict
from assay.methods import subspace
from assay.models import artifact, predictor
from tests.conftest import make_data

CNN = Model(name="vgg", widths=[[4], [4]], batch_norm=True)
MLP = Model(name="mlp", hidden=[6])


@pytest.fixture
def folder(make_run, tmp_path):
    """models/line beside data/prepared, for a model; gives the folder and the data."""

    def make(model=MLP, **options):
        digest = prepared.write(tmp_path / "data", make_data())
        data = replace(make_data(), digest=digest)
        run = make_run(arm="line", method="subspace", model=model, options=options, seeds=(3, 5))
        with Scratch("probe", {}, torch.device("cpu"), tmp_path) as scratch:
            artifact.write(tmp_path / "line", methods.resolve(run).train(data, scratch)[0])
        return tmp_path, data

    return make


def run_export(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", *map(str, arguments)])
    if ended.value.code:
        raise ended.value


def logits(state, data, model):
    network = models.build(model.name, data.images, **model.arguments).eval()
    network.load_state_dict(state, strict=True)
    with torch.no_grad():
        return network(normalise(data.test.images, data.mean, data.std))


@pytest.mark.parametrize(
    ("model", "shape", "suffix"),
    [(MLP, "line", "pt"), (CNN, "line", "safetensors"), (CNN, "curve", "safetensors")],
    ids=["line", "line with batch norm", "curve with batch norm"],
)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.37, 1.0])
def test_any_alpha_gives_the_logits_of_the_stack(folder, capsys, model, shape, suffix, alpha):
    root, data = folder(model, shape=shape)
    out = root / f"out.{suffix}"
    where = ("--variant", shape, "--alpha", alpha, "--seed", 5, "--data", root / "data")
    run_export(root / "line", *where, "--out", out)
    assert "numbers in" in capsys.readouterr().out
    state = load_file(out) if suffix == "safetensors" else torch.load(out, weights_only=True)
    stored = artifact.read(root / "line")
    rows = subspace.along(shape, torch.tensor(alpha)).float().expand(2, -1)
    group = "ensemble" if shape == "line" else "curve.points"
    network = models.build(model.name, data.images, **model.arguments)
    names = dict(network.named_parameters())
    weights = {name: subspace.mix(stored.weights[group][name], rows) for name in names}
    buffers = {name: stored.weights["midpoint"][name][:, 0] for name, _ in network.named_buffers()}
    weights |= batch_norm.recomputed(network, weights, buffers, data, 16)
    expected = predict(network, weights, data.test.images, data.mean, data.std)[1]
    torch.testing.assert_close(logits(state, data, model), expected, rtol=1e-4, atol=1e-5)


def test_a_member_of_a_variant_is_exported_as_it_is_stored(folder):
    root, _ = folder()
    stored = artifact.read(root / "line")
    for arguments, variant, seed, member in (
        ((), "midpoint", 0, 0),
        (("--variant", "ensemble", "--seed", 5, "--member", 1), "ensemble", 1, 1),
    ):
        run_export(root / "line", *arguments, "--out", root / "out.safetensors")
        found = load_file(root / "out.safetensors")
        assert found.keys() == stored.weights[variant].keys()
        assert all(torch.equal(tensor, stored.weights[variant][name][seed, member]) for name, tensor in found.items())


def test_a_torch_file_holds_one_network_and_not_its_stack(folder):
    root, _ = folder(Model(name="mlp", hidden=[64]))
    run_export(root / "line", "--out", root / "out.pt")
    run_export(root / "line", "--out", root / "out.safetensors")
    assert (root / "out.pt").stat().st_size < (root / "out.safetensors").stat().st_size + 4000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--alpha", 1.2), "--alpha: got 1.2; it should be from 0 to 1"),
        (("--alpha", -0.1), "--alpha: got -0.1; it should be from 0 to 1"),
        (("--alpha", "nan"), "--alpha: got nan; it should be from 0 to 1"),
        (("--alpha", 0.3, "--variant", "midpoint"), "--variant: line has no 'midpoint' to go along with --alpha"),
        (
            ("--variant", "line"),
            "--variant: line has no 'line'; allowed: midpoint, ensemble, pair, and with --alpha line",
        ),
        (("--seed", 0), "--seed: line has seeds 3, 5, not 0"),
        (("--member", 1), "--member: midpoint has members 0 to 0, not 1"),
        (("--member", -1), "--member: midpoint has members 0 to 0, not -1"),
    ],
)
def test_bad_arguments_are_refused_by_name(folder, capsys, arguments, said):
    root, _ = folder()
    with pytest.raises(SystemExit):
        run_export(root / "line", *arguments, "--out", root / "out.pt")
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}")
    assert error.count("\n") == 1
    assert not (root / "out.pt").exists()


def test_other_data_or_another_format_is_refused(folder, capsys):
    root, _ = folder(CNN)
    prepared.write(root / "other", make_data(examples=48))
    for arguments, said in (
        (("--alpha", 0.37, "--data", root / "other", "--out", root / "out.pt"), "--data: "),
        (("--alpha", 0.37, "--data", root / "absent", "--out", root / "out.pt"), f"{root}/absent"),
        (("--out", root / "out.h5"), f"--out: {root}/out.h5: unknown suffix '.h5'"),
        (("--sparse", "--out", root / "out.onnx"), "--sparse: ONNX holds all numbers"),
    ):
        with pytest.raises(SystemExit):
            run_export(root / "line", *arguments)
        assert capsys.readouterr().err.startswith(f"error: {said}")
    assert not (root / "out.pt").exists()


@pytest.mark.parametrize("model", [MLP, CNN], ids=["dense", "convolutions and batch norm"])
def test_onnx_has_the_probabilities_that_evaluation_scores(folder, model, capsys):
    root, data = folder(model)
    trained = artifact.read(root / "line")
    run_export(
        root / "line", "--variant", "ensemble", "--seed", "5", "--data", root / "data", "--out", root / "line.onnx"
    )
    assert "line.onnx: uint8 images (n, " in capsys.readouterr().out
    session = onnxruntime.InferenceSession(str(root / "line.onnx"))
    (found,) = session.run(None, {"images": data.test.images.numpy()})
    members = {name: tensor[1] for name, tensor in trained.weights["ensemble"].items()}
    network = models.build(model.name, data.images, **model.arguments)
    logits = predict(network, members, data.test.images, data.mean, data.std)
    expected = artifact.combine(logits.double(), trained.manifest.variants["ensemble"].combine)
    torch.testing.assert_close(torch.from_numpy(found).double(), expected, atol=1e-5, rtol=0)


def test_onnx_of_one_member_or_of_a_place_on_the_line_is_one_network(folder):
    root, data = folder()
    for chosen in (["--variant", "ensemble", "--member", "1"], ["--alpha", "0.3"]):
        for name in ("one.onnx", "one.safetensors"):
            run_export(root / "line", *chosen, "--data", root / "data", "--out", root / name)
        (found,) = onnxruntime.InferenceSession(str(root / "one.onnx")).run(None, {"images": data.test.images.numpy()})
        expected = logits(load_file(root / "one.safetensors"), data, MLP).softmax(-1)
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-5, rtol=0)


def test_onnx_whose_probabilities_differ_is_not_written(folder, monkeypatch, capsys):
    root, _ = folder()
    monkeypatch.setattr(predictor, "TOLERANCE", -1.0)
    with pytest.raises(SystemExit):
        run_export(root / "line", "--data", root / "data", "--out", root / "line.onnx")
    assert "line.onnx: not written: the probabilities of ONNX Runtime differ" in capsys.readouterr().err
    assert not (root / "line.onnx").exists()


def test_onnx_that_its_runtime_cannot_run_is_not_written(folder, monkeypatch, capsys):
    class Broken:
        def __init__(self, *_, **__):
            raise onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented("no kernel for it\nmore of it")

    root, _ = folder()
    monkeypatch.setattr(onnxruntime, "InferenceSession", Broken)
    with pytest.raises(SystemExit):
        run_export(root / "line", "--data", root / "data", "--out", root / "line.onnx")
    said = "line.onnx: not written: ONNX Runtime cannot run this network: no kernel for it\n"
    assert capsys.readouterr().err.endswith(said)
    assert not (root / "line.onnx").exists()


def test_onnx_needs_the_data_that_the_arm_was_trained_on(folder, capsys):
    root, data = folder()
    prepared.write(root / "data", replace(data, mean=(1.0,) * len(data.mean)))
    with pytest.raises(SystemExit):
        run_export(root / "line", "--data", root / "data", "--out", root / "line.onnx")
    assert re.search(
        r"--data: .*: line was trained on .*; its normalisation goes into the model", capsys.readouterr().err
    )
