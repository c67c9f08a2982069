"""Methods that take gradients fine-tune a pretrained network of timm: they resume, and train alone as in company.

Batch norm and depth-wise convolutions (`test_efficientnet`), attention and layer norms (`test_vit`), both with
stochastic depth, a lower rate for the backbone, and no weight decay on norms and biases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from assay.core.config import SGD
from assay.models import artifact
from tests.conftest import make_data
from tests.contract.test_contract_methods import ARMS, assert_equal_weights, bit_equal, train, train_killed
from tests.pretrained import model, weights_of

if TYPE_CHECKING:
    from pathlib import Path

# one arm of each way in which a method trains: seams, stacks of several networks, phases, batch norm computed anew
TRAINED = {
    "sgd": "test_efficientnet",
    "sgd in bfloat16": "test_vit",
    "deep ensemble": "test_vit",
    "hard batches": "test_efficientnet",
    "ordered sgd": "test_vit",
    "selective backprop": "test_efficientnet",
    "swa": "test_efficientnet",
    "subset": "test_vit",
    "line": "test_efficientnet",
    "simplex": "test_vit",
}
TUNED = SGD(name="sgd", lr=0.01, momentum=0.9, weight_decay=0.01, decay="weights")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("pretrained")
    for architecture in set(TRAINED.values()):
        weights_of(architecture, made)
    return made


@pytest.mark.parametrize("arm", TRAINED)
def test_it_fine_tunes(arm, make_run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    data = make_data(examples=32, side=32)
    budget = {"steps": 7, "batch_size": 8, "evaluate_every": 7, "seeds": (0, 1), "optimizer": TUNED}
    own = {**ARMS[arm], **budget, "model": model(TRAINED[arm], {"drop_path_rate": 0.3})}
    if arm == "ordered sgd":
        own["options"] = {"q": 4}
    run = make_run(**own)
    run = run.model_copy(update={"train": run.train.model_copy(update={"backbone_lr": 0.1})})
    whole, _ = train(run, data, tmp_path)
    resumed, _, _ = train_killed(run, data, tmp_path, 5)
    assert_equal_weights(whole, resumed, bit_equal)
    assert whole.manifest == resumed.manifest
    alone, _ = train(run.model_copy(update={"seeds": (1,)}), data, tmp_path)
    for variant, state in alone.weights.items():
        for name, tensor in state.items():
            torch.testing.assert_close(tensor[0], whole.weights[variant][name][1], rtol=1e-4, atol=1e-4)
    artifact.write(tmp_path / "model", whole)
    read = artifact.read(tmp_path / "model")
    network = read.manifest.network()
    for variant in read.manifest.variants:
        network.load_state_dict(artifact.state_dict(read, variant, 0), strict=True)
    assert read.manifest.normalisation is not None
