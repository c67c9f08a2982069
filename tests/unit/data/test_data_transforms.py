"""Torchvision's transforms, drawn for each image: what v2 itself would do image by image, in fewer calls."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torchvision.transforms import v2

from assay.core.errors import AssayError
from assay.core.runtime import generator, global_generator
from assay.data.sets import transforms
from assay.data.sets.augment import augment
from assay.data.sets.images import Images
from assay.data.sets.transforms import NAMES, Augmentation, DrawnPerImage

COLOUR, GREY = Images(3, 24, 28, 4), Images(1, 8, 8, 4)
ARGUMENTS = {
    "auto_augment": {"policy": "cifar10"},
    "color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": [0.5, 1.5], "hue": 0.1},
    "elastic_transform": {"sigma": 2.0},
    "gaussian_blur": {"kernel_size": 3},
    "random_adjust_sharpness": {"sharpness_factor": 2},
    "random_affine": {"degrees": 10, "translate": [0.1, 0.1]},
    "random_crop": {"padding": 3, "padding_mode": "reflect"},
    "random_posterize": {"bits": 3},
    "random_rotation": {"degrees": 20, "interpolation": "bilinear"},
    "random_solarize": {"threshold": 128},
}
NEED_SIZE = ("random_crop", "random_resized_crop")


def batch_of(count: int, images: Images = COLOUR) -> torch.Tensor:
    """Smooth images with noise, as photographs are more than noise alone is."""
    source = torch.Generator().manual_seed(1)
    coarse = 255 * torch.rand(count, images.channels, 4, 4, generator=source)
    smooth = torch.nn.functional.interpolate(coarse, (images.height, images.width), mode="bilinear")
    return (smooth + 20 * torch.rand(smooth.shape, generator=source)).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_each_image_becomes_what_v2_makes_of_it_by_itself(name):
    images, arguments, seeds = batch_of(12), ARGUMENTS.get(name, {}), (5, 6)
    before = images.clone()
    found = Augmentation([{name: arguments}], COLOUR)(images, seeds, 3)
    if name == "auto_augment":
        arguments = {"policy": v2.AutoAugmentPolicy.CIFAR10}
    size = {"size": [COLOUR.height, COLOUR.width]} if name in NEED_SIZE else {}
    transform = getattr(v2, "".join(part.capitalize() for part in name.split("_")))(**arguments, **size)
    for seed, batch, own in zip(seeds, images.chunk(2), found.chunk(2), strict=True):
        with global_generator(seed, "augmentation", 3):
            assert torch.equal(own, torch.stack([transform(image) for image in batch]))
    assert (found.dtype, found.shape) == (torch.uint8, images.shape)
    assert not torch.equal(found, images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_draws_the_same_alone_at_each_step(name):
    images, augmented = batch_of(12), Augmentation(["crop", {name: ARGUMENTS.get(name, {})}], COLOUR)
    together = augmented(images, (5, 6, 7), 3)
    assert torch.equal(augmented(images[4:8], (6,), 3), together[4:8])
    assert torch.equal(augmented(images, (5, 6, 7), 3), together)
    assert not torch.equal(augmented(images, (5, 6, 7), 4), together)


@pytest.mark.parametrize("name", ["random_rotation", "rand_augment", "random_resized_crop", "color_jitter"])
def test_every_image_draws_its_own(name):
    same = batch_of(1).expand(16, -1, -1, -1)
    found = Augmentation([{name: ARGUMENTS.get(name, {})}], COLOUR)(same, (0,), 0)
    assert len(found.flatten(1).unique(dim=0)) > 8


def test_a_flip_mirrors_about_half_and_leaves_symmetric_images_alone():
    images = batch_of(1).expand(400, -1, -1, -1)
    flipped = Augmentation("random_horizontal_flip", COLOUR)(images, (0, 1), 0)
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    assert (mirrored | (flipped == images).flatten(1).all(1)).all()
    assert 160 < mirrored.sum() < 240
    symmetric = torch.maximum(images, images.flip(3))
    assert torch.equal(Augmentation("random_horizontal_flip", COLOUR)(symmetric, (0, 1), 0), symmetric)


def test_each_transform_of_a_list_draws_for_itself():
    images = batch_of(1).expand(64, -1, -1, -1)
    found = Augmentation(["random_horizontal_flip", "random_vertical_flip"], COLOUR)(images, (0,), 0)
    assert len(found.flatten(1).unique(dim=0)) == 4


class Brighter(v2.Transform):
    """Draws a tensor, whose text has fewer digits than it."""

    def make_params(self, flat_inputs):
        return {"by": 1 + torch.rand(1) / 2**15}

    def transform(self, inpt, params):
        return inpt + ((params["by"] - 1) * 2**20).to(torch.uint8)


def test_tensors_that_read_alike_are_not_taken_for_equal():
    images = torch.zeros(16, 1, 8, 8, dtype=torch.uint8)
    assert len(DrawnPerImage(Brighter())(images, (0,), "augmentation", 0).unique()) > 8


def test_images_that_drew_alike_are_transformed_together(monkeypatch):
    images, calls = batch_of(64), []
    drawn = DrawnPerImage(v2.RandAugment())
    apply = drawn._apply
    monkeypatch.setattr(
        drawn, "_apply", lambda image, *args, **kwargs: calls.append(1) or apply(image, *args, **kwargs)
    )
    drawn(images, (0, 1), "augmentation", 0)
    assert len(calls) <= 2 * 24  # the ten signed operations at either sign, and four others, in each of two turns


def test_transforms_run_in_their_order():
    images = batch_of(8)
    crop, blur = "crop", {"gaussian_blur": {"kernel_size": 5, "sigma": 2.0}}
    assert torch.equal(Augmentation([crop], COLOUR)(images, (0,), 0), Augmentation("crop", COLOUR)(images, (0,), 0))
    cropped = augment(images, "crop", [generator(0, "augmentation", 0)])
    blurred = v2.functional.gaussian_blur(cropped, [5, 5], [2.0, 2.0])
    assert torch.equal(Augmentation([crop, blur], COLOUR)(images, (0,), 0), blurred)


def test_torch_and_other_libraries_draw_as_if_nothing_had_been_drawn():
    state = torch.get_rng_state()
    Augmentation("rand_augment", COLOUR)(batch_of(4), (0,), 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_padded_crops_need_no_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.transforms", None)
    for entries in ("none", "crop", ["crop_flip"]):
        transforms.check(entries, GREY)
    with pytest.raises(ImportError):
        transforms.check("rand_augment", GREY)


def test_batches_must_come_out_even():
    with pytest.raises(ValueError, match="7 images do not divide into 2 batches"):
        Augmentation("rand_augment", COLOUR)(batch_of(7), (0, 1), 0)


def test_the_page_names_all_there_are():
    page = (Path(__file__).parents[3] / "docs/data.md").read_text()
    assert not [name for name in NAMES if f"`{name}`" not in page]


@pytest.mark.parametrize("name", NAMES)
def test_every_transform_passes_the_check(name):
    transforms.check([{name: ARGUMENTS.get(name, {})}], COLOUR)


WRONG = {
    "colour_jitter": r"data.augment: unknown transform 'colour_jitter'; did you mean color_jitter\? allowed: none",
    "RandAugment": r"data.augment: unknown transform 'RandAugment'; did you mean rand_augment\?",
    "cutmix": r"data.augment: cutmix mixes labels too, so it is a method: .* \{method: mixing, kind: cutmix\}",
    "random_rotation": r"data.augment.random_rotation.degrees: missing, and required",
}
WRONG_ARGUMENTS = [
    ({"color_jitter": {"brightnes": 0.2}}, r"color_jitter.brightnes: unknown argument; did you mean brightness\?"),
    ({"color_jitter": {"brightness": -1}}, "color_jitter: If brightness is a single number, it must be non negative"),
    ({"color_jitter": {}}, "color_jitter: changes nothing of images of 1×8×8"),
    ({"crop": {"padding": 8}}, "crop: takes no argument"),
    ({"random_grayscale": {}}, "random_grayscale: changes nothing of images of 1×8×8"),
    ({"rand_augment": {"magnitude": 99}}, "rand_augment: fails on images of 1×8×8"),
    ({"rand_augment": {"num_ops": 0}}, "rand_augment: changes nothing"),
    ({"auto_augment": {"policy": "cifar"}}, "auto_augment.policy: unknown policy 'cifar'; did you mean cifar10"),
    ({"gaussian_blur": {"kernel_size": 17}}, "gaussian_blur: fails on images of 1×8×8"),
    ({"random_erasing": {"scale": [0.5, 0.1]}}, "random_erasing: Scale and ratio"),
    ({"random_erasing": {"value": "random"}}, "random_erasing.value: random needs images of floating point"),
    ({"random_horizontal_flip": {"p": 2}}, "random_horizontal_flip: `p` should be"),
    ({"random_rotation": {"degrees": 20, "expand": True}}, "random_rotation.expand: unknown argument"),
]


@pytest.mark.parametrize("entries", WRONG)
def test_a_wrong_name_is_one_line_with_the_key(entries):
    with pytest.raises(AssayError, match=f"^params.yaml: {WRONG[entries]}") as caught:
        transforms.check(entries, GREY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("entry", "message"), WRONG_ARGUMENTS, ids=str)
def test_a_wrong_argument_is_one_line_with_the_key(entry, message):
    with pytest.raises(AssayError, match=f"^params.yaml: arms.a.augment.1.{message}") as caught:
        transforms.check(["crop", entry], GREY, "params.yaml: arms.a.augment")
    assert "\n" not in str(caught.value)


def test_none_stands_alone():
    with pytest.raises(AssayError, match=r"augment.1: `none` stands alone"):
        transforms.check(["crop", "none"], GREY)
