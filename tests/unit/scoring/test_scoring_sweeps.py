"""Along a path of networks, and among the members of a variant: against plain networks, one at a time."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from assay import methods, models
from assay.core.config import Model
from assay.core.errors import AssayError
from assay.data.sets.augment import normalise
from assay.engine.checkpoint import Scratch
from assay.models import artifact
from assay.scoring import predict
from tests.conftest import make_data

CNN = Model(name="vgg", widths=[[4], [4]], batch_norm=True)


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture
def trained(make_run, data, tmp_path):
    """An arm, trained for a few steps, written and read."""

    def train(method="subspace", model=CNN, **options):
        run = make_run(method=method, model=model, options=options, seeds=(0, 1))
        with Scratch("probe", {}, torch.device("cpu"), tmp_path) as scratch:
            made, _ = methods.resolve(run).train(data, scratch)
        artifact.write(tmp_path / "model", made)
        return artifact.read(tmp_path / "model")

    return train


def probabilities(one, state, data):
    """Of a plain network with this state dict, on the test set, as numpy."""
    network = models.build(one.manifest.model.name, data.images, **one.manifest.model.arguments).eval()
    network.load_state_dict(state, strict=True)
    with torch.no_grad():
        return network(normalise(data.test.images, data.mean, data.std)).double().softmax(-1).numpy()


def mean(own, how):
    """Of networks' probabilities; the softmax of mean logits is their geometric mean, normalised."""
    if how == "mean_probability":
        return sum(own) / len(own)
    product = np.exp(sum(np.log(each) for each in own) / len(own))
    return product / product.sum(1, keepdims=True)


@pytest.mark.parametrize(("shape", "how"), [("line", "mean_probability"), ("curve", "mean_logit")])
def test_each_point_of_a_sweep_is_measured_as_its_plain_network_is(trained, data, shape, how):
    one = trained(shape=shape, combine=how)
    network = models.build("vgg", data.images, **CNN.arguments)
    found = predict.of_sweep(one, shape, network, data)
    assert (found.axis, len(found.at), found.at[:2], found.at[-1]) == ("alpha", 21, [0.0, 0.05], 1.0)
    labels, collected = data.test.labels.numpy(), {}
    for seed in (0, 1):
        for index in range(21):
            state = {name: tensor[seed] for name, tensor in artifact.point(one, shape, index).items()}
            collected[seed, index] = own = probabilities(one, state, data)
            assert found.accuracy[index][seed] == pytest.approx((own.argmax(1) == labels).mean(), abs=1e-6)
            assert found.nll[index][seed] == pytest.approx(-np.log(own[range(32), labels]).mean(), abs=1e-4)
        assert found.ensemble_sizes == [1, 2, 3, 5, 6, 11, 21]
        for position, indices in enumerate([[10], [0, 20], [0, 10, 20], [0, 5, 10, 15, 20], range(0, 21, 4)]):
            together = mean([collected[seed, index] for index in indices], how)
            assert found.ensemble_accuracy[position][seed] == pytest.approx((together.argmax(1) == labels).mean())
            expected = -np.log(together[range(32), labels]).mean()
            assert found.ensemble_nll[position][seed] == pytest.approx(expected, abs=1e-4)


def test_ends_and_middle_of_a_sweep_are_the_variants(trained):
    one = trained()
    for index, variant, member in ((0, "ensemble", 0), (20, "ensemble", 1), (10, "midpoint", 0), (4, "pair", 0)):
        for name, tensor in artifact.point(one, "line", index).items():
            torch.testing.assert_close(tensor, one.weights[variant][name][:, member])


@pytest.mark.parametrize("how", ["mean_probability", "mean_logit"])
def test_a_variant_s_members_differ_by_total_variation_and_add_up(trained, data, how):
    one = trained("deep_ensemble", members=3, combine=how)
    network = models.build("vgg", data.images, **CNN.arguments)
    _, found = predict.of_variant(one, "members_3", network, data)
    labels = data.test.labels.numpy()
    assert found["ensemble_sizes"] == [1, 2, 3]
    for seed in (0, 1):
        own = [probabilities(one, artifact.state_dict(one, "members_3", seed, m), data) for m in range(3)]
        distances = [np.abs(a - b).sum(1).mean() / 2 for a, b in combinations(own, 2)]
        assert found["total_variation"][seed] == pytest.approx(np.mean(distances), abs=1e-5)
        for position in range(3):
            together = mean(own[: position + 1], how)
            assert found["ensemble_accuracy"][position][seed] == pytest.approx((together.argmax(1) == labels).mean())
    assert "total_variation" not in predict.of_variant(trained(), "midpoint", network, data)[1]


def test_total_variation_is_from_zero_to_one():
    same = torch.full((1, 4, 2, 5), 0.2, dtype=torch.float64)
    torch.testing.assert_close(predict.total_variation(same), torch.zeros(1, 2, dtype=torch.float64))
    apart = torch.eye(3, dtype=torch.float64).view(1, 3, 1, 3)
    torch.testing.assert_close(predict.total_variation(apart), torch.ones(1, 1, dtype=torch.float64))


def test_many_members_are_measured_at_few_sizes():
    assert predict.ensemble_sizes(33) == [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 33]


NAMED = {"no networks": "'line'", "shape": r"line\.buffers/", "rows": "'line'", "unknown": "variant is not in"}


@pytest.mark.parametrize("broken", NAMED)
def test_a_sweep_that_does_not_fit_its_weights_is_refused(trained, tmp_path, broken):
    one = trained()
    weights = {group: dict(state) for group, state in one.weights.items()}
    sweep = one.manifest.sweeps["line"]
    if broken == "no networks":
        sweep = sweep.model_copy(update={"tensors": "line.points"})
    elif broken == "shape":
        weights["line.buffers"] = {name: tensor[:, :20] for name, tensor in weights["line.buffers"].items()}
    elif broken == "rows":
        sweep = sweep.model_copy(update={"at": sweep.at[:-1]})
    manifest = one.manifest.model_copy(update={"sweeps": {"other" if broken == "unknown" else "line": sweep}})
    made = artifact.Artifact(manifest=manifest, weights=weights)

    def write_and_read():
        artifact.write(tmp_path / "again", made)
        artifact.read(tmp_path / "again")

    with pytest.raises(AssayError, match=NAMED[broken]):
        write_and_read()
