from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from assay.core.runtime import generator
from assay.data.sets.augment import augment, normalise


def random_images(count, channels=1, height=6, width=5, seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.randint(1, 256, (count, channels, height, width), dtype=torch.uint8, generator=source)


def candidates(image, flips):
    """Every crop of the zero-padded image, one by one, mirrored ones after the others."""
    height, width = image.shape[1:]
    padded = F.pad(image, (4, 4, 4, 4))
    crops = [padded[:, y : y + height, x : x + width] for y in range(9) for x in range(9)]
    return crops + [crop.flip(2) for crop in crops] if flips else crops


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(["crop", "crop_flip"]),
    channels=st.integers(1, 3),
    height=st.integers(4, 9),
    width=st.integers(4, 9),
    seed=st.integers(0, 1000),
)
def test_every_result_is_a_crop_of_its_own_image(kind, channels, height, width, seed):
    images = random_images(6, channels, height, width)
    results = augment(images, kind, [generator(seed, "test"), generator(seed + 1, "test")])
    assert (results.dtype, results.shape) == (torch.uint8, images.shape)
    for image, result in zip(images, results, strict=True):
        assert any(torch.equal(result, crop) for crop in candidates(image, kind == "crop_flip"))


@pytest.mark.parametrize(("kind", "expected"), [("crop", 81), ("crop_flip", 162)])
def test_every_crop_comes_about_equally_often(kind, expected):
    count = 162 * 60
    image = random_images(1, height=5, width=6)
    results = augment(image.expand(count, -1, -1, -1), kind, [generator(0, "test")])
    places = torch.stack(candidates(image[0], kind == "crop_flip")).flatten(1)
    found, counts = results.flatten(1).unique(dim=0, return_counts=True)
    assert len(found) == expected == len(places.unique(dim=0))
    mean = count / expected
    assert ((counts - mean).abs() < 5 * mean**0.5).all()


def test_none_leaves_images_alone():
    images = random_images(4)
    source = generator(0, "test")
    state = source.get_state()
    assert augment(images, "none", [source]) is images
    assert torch.equal(source.get_state(), state)


@pytest.mark.parametrize("kind", ["crop", "crop_flip"])
def test_a_copy_draws_the_same_alone_as_in_a_stack(kind):
    images = random_images(12, channels=3)
    together = augment(images, kind, [generator(seed, "test") for seed in range(3)])
    for seed, batch in enumerate(images.chunk(3)):
        assert torch.equal(augment(batch, kind, [generator(seed, "test")]), together.chunk(3)[seed])


def test_batches_must_come_out_even():
    with pytest.raises(ValueError, match="7 images do not divide into 2 batches"):
        augment(random_images(7), "crop", [generator(0, "test"), generator(1, "test")])


def test_normalise_is_per_channel_and_leaves_its_input():
    images = random_images(3, channels=2)
    before = images.clone()
    result = normalise(images, (10.0, 20.0), (2.0, 4.0))
    assert result.dtype == torch.float32
    assert torch.equal(result[:, 0], (images[:, 0].float() - 10) / 2)
    assert torch.equal(result[:, 1], (images[:, 1].float() - 20) / 4)
    assert torch.equal(images, before)


def test_normalised_training_images_have_mean_0_and_deviation_1():
    from assay.data.preparation import moments

    images = random_images(200, channels=3)
    result = normalise(images, *moments([images.numpy()]))
    assert result.mean((0, 2, 3)).abs().max() < 1e-5
    assert (result.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5
