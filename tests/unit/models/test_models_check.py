"""Bad input to `model:` in params.yaml gives one line that names the key."""

import re
import subprocess
import sys

import pytest
import torch

from assay import models
from assay.core.errors import AssayError
from assay.data.sets.images import Images
from assay.models import fitting, nets

CIFAR = Images(3, 32, 32, 10)


def complaint(name, arguments, images=CIFAR, **prefix):
    with pytest.raises(AssayError) as caught:
        fitting.check(name, images, arguments, **prefix)
    return str(caught.value)


def test_unknown_model():
    line = complaint("lenet_300", {})
    assert line.startswith("params.yaml: model.name: unknown model 'lenet_300'; did you mean lenet_300_100? allowed: ")
    assert all(name in line for name in models.names())
    assert "\n" not in line


@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        ("linear", {"hiden": [32]}, "model.hiden: unknown key; allowed: name"),
        ("mlp", {}, "model.hidden: missing, and required"),
        ("mlp", {"hidden": 32}, "model.hidden: got 32; it should be a valid list"),
        ("mlp", {"hidden": []}, "model.hidden: got []; it should hold 1 or more"),
        ("mlp", {"hidden": [32, 0]}, "model.hidden.1: got 0; it should be greater than or equal to 1"),
        ("mlp", {"hidden": ["a"]}, "model.hidden.0: got 'a'; it should be a valid integer"),
        ("mlp", {"hidden": [10**12]}, f"model.hidden.0: got {10**12}; it should be less than or equal to 65536"),
        ("vgg", {"depth": 12}, "model.depth: got 12; it should be 11, 13, 16 or 19"),
        ("vgg", {"depth": 11, "batch_norm": "no"}, "model.batch_norm: got 'no'; it should be a valid boolean"),
        ("vgg", {"widths": [[8], []]}, "model.widths.1: got []; it should hold 1 or more"),
    ],
)
def test_arguments(name, arguments, line):
    assert complaint(name, arguments) == f"params.yaml: {line}"


def test_misspelt_argument():
    assert "model.hiden: unknown key; did you mean hidden? allowed: hidden, name" in complaint("mlp", {"hiden": [32]})


@pytest.mark.parametrize("arguments", [{}, {"depth": 11, "widths": [[8]]}])
def test_vgg_takes_either_depth_or_widths(arguments):
    assert complaint("vgg", arguments).startswith("params.yaml: model.depth: give either depth")


@pytest.mark.parametrize(
    ("name", "arguments", "images", "side"),
    [
        ("conv_2", {}, Images(1, 1, 40, 10), 2),
        ("conv_6", {}, Images(1, 4, 4, 10), 8),
        ("trajectory_cnn", {}, Images(1, 7, 28, 10), 8),
        ("vgg", {"depth": 19}, Images(1, 8, 8, 10), 16),
        ("vgg", {"widths": [[2]] * 6}, Images(3, 31, 31, 10), 32),
    ],
)
def test_images_too_small(name, arguments, images, side):
    shape = f"{images.channels}×{images.height}×{images.width}"
    expected = f"{name} needs sides of {side} pixels or more, the images are {shape} (channels×height×width)"
    line = complaint(name, arguments, images)
    assert line == f"params.yaml: model.name: {expected}; choose another model"
    fitting.check(name, Images(images.channels, side, side, 10), arguments)


def test_no_image_is_large_enough():
    assert "needs sides of more than 1024 pixels" in complaint("vgg", {"widths": [[2]] * 12})


NETWORK = """
from torch import nn
from assay.models.nets import chain

MODELS = {"bug": "nobody", "droped": "nobody"}

def bug(images, *, features: int):
    return chain({"flatten": nn.Flatten(), "output": nn.Linear(features, images.classes)})

def dropped(images):
    return bug(images, features=1)
"""


@pytest.fixture
def _a_file_with_bugs(tmp_path, monkeypatch):
    (tmp_path / "bugs.py").write_text(NETWORK)
    monkeypatch.setattr(models, "NETS", tmp_path)
    monkeypatch.setattr(nets, "__path__", [str(tmp_path)])
    models.literals.cache_clear()
    yield
    models.literals.cache_clear()
    del sys.modules["assay.models.nets.bugs"], nets.bugs


@pytest.mark.usefixtures("_a_file_with_bugs")
def test_a_bug_of_the_network_is_told_as_torch_tells_it():
    """Features for 4 × 4 pixels, where the images have 32 × 32; and features for images of no size."""
    said = r"mat1 and mat2 shapes cannot be multiplied \(2x3072 and {}x10\)"
    line = rf"^params.yaml: model.name: bug cannot run \({said.format(48)}\), the images are 3×32×32 \(channels"
    assert re.match(line, complaint("bug", {"features": 48}))
    line = rf"^params.yaml: model.name: bug needs sides of more than 1024 pixels \({said.format(5)}\), the images are"
    assert re.match(line, complaint("bug", {"features": 5}))


@pytest.mark.usefixtures("_a_file_with_bugs")
def test_a_name_without_its_function_is_told():
    line = "src/assay/models/nets/bugs.py: MODELS names 'droped', and there is no such function"
    assert complaint("droped", {}) == line


def test_prefix_leads_to_the_arm():
    assert complaint("mlp", {}, prefix="params.yaml: arms.wide.model").startswith("params.yaml: arms.wide.model.hidden")
    assert complaint("mpl", {}, prefix="params.yaml: arms.wide.model").startswith("params.yaml: arms.wide.model.name")


def test_build_complains_too():
    with pytest.raises(AssayError, match=r"^model\.name: unknown model 'lennet_300_100'; did you mean lenet_300_100\?"):
        models.build("lennet_300_100", CIFAR)
    with pytest.raises(AssayError, match=r"^model: hiden: unknown key; did you mean hidden\?"):
        models.build("mlp", CIFAR, hidden=[3], hiden=[4])


def test_check_draws_nothing():
    before = torch.get_rng_state()
    fitting.check("conv_6", CIFAR, {})
    assert torch.equal(torch.get_rng_state(), before)


def test_torchvision_is_not_imported_until_it_is_needed():
    code = (
        "import sys; from assay import models; from assay.data.sets.images import Images;"
        "models.build('resnet_20', Images(3, 32, 32, 10)); print('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"False\n"
