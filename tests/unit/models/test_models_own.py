"""A network of one's own: a file with a function `build`, found by name and tried before anything trains."""

from __future__ import annotations

import sys

import pytest

from assay import models
from assay.core.errors import AssayError
from assay.data.sets.images import Images
from assay.models import fitting, nets

IMAGES = Images(1, 8, 8, 3)
HEAD = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"
GOOD = """
def build(images, width: int = 4, **more):
    layers = [nn.Conv2d(images.channels, width, 3), nn.Flatten(), nn.LazyLinear(images.classes)]
    network = nn.Sequential(*layers)
    network(torch.zeros(1, *images.shape))
    return network
"""
MODULE = """
class Net(nn.Module):
    def __init__(self, images):
        super().__init__()
        self.conv, self.out = nn.Conv2d(images.channels, 4, 3), nn.Linear(144, images.classes)

    def forward(self, x):
        {}

def build(images):
    return Net(images)
"""
SHARED = """
def build(images):
    one = nn.Linear(64, 64)
    return nn.Sequential(nn.Flatten(), one, one, nn.Linear(64, 3))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "NETS", tmp_path)
    monkeypatch.setattr(nets, "__path__", [str(tmp_path)])

    def write(text, name="mine"):
        (tmp_path / f"{name}.py").write_text(HEAD + text)
        models.literals.cache_clear()

    yield write
    models.literals.cache_clear()
    sys.modules.pop("assay.models.nets.mine", None)
    vars(nets).pop("mine", None)


def complaint(**arguments):
    with pytest.raises(AssayError) as caught:
        fitting.check("mine", IMAGES, arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_is_found_by_the_name_of_its_file_and_takes_arguments(own):
    own(GOOD)
    assert models.names() == ["mine"]
    network = fitting.check("mine", IMAGES, {"width": 5, "anything": 1})
    assert network[0].out_channels == 5
    assert "model.width: got 'wide'; it should be a valid integer" in complaint(width="wide")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def make(images):\n    pass\n", "name: src/assay/models/nets/mine.py has no function `build`"),
        ("def build(images):\n    return 3\n", "mine.py: gives int; it must give a torch.nn.Module"),
        ("import nowhere\ndef build(images):\n    return 3\n", "cannot be imported (ModuleNotFoundError: No module"),
        ("def build(images):\n    return nn.Flatten()\n", "name: mine has no parameters to train"),
        ("def build(images):\n    return undefined\n", "mine cannot run (NameError: name 'undefined' is not defined)"),
        (MODULE.format("return self.conv(x)"), "mine gives (2, 4, 6, 6) for 2 images; it must give logits (2, 3)"),
        (MODULE.format("return self.out(self.conv(x).flatten(1)), x"), "mine gives tuple for 2 images"),
        (MODULE.format("return self.out(self.conv(x).view(len(x), -1))"), "mine cannot run (view size is not compatib"),
        (
            MODULE.format("return self.out(F.dropout(self.conv(x).flatten(1), training=self.training))"),
            "mine draws random numbers in training by no layer that is one of dropout",
        ),
        (SHARED, "mine has a parameter under two names"),
    ],
)
def test_what_could_not_be_trained_is_told_before(own, text, line):
    own(text)
    assert line in complaint()
