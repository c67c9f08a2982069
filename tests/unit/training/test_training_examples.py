"""Images kept normalised are the images that each batch would have normalised."""

import pytest
import torch

from assay.training import examples
from assay.training.examples import Examples
from tests.conftest import make_data

INDICES = torch.tensor([[3, 0, 3, 71], [95, 1, 2, 4]])


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_a_batch_has_the_same_bytes_whether_or_not_images_are_kept(monkeypatch, augment):
    data = make_data(channels=3, augment=augment)
    kept = Examples(data, (0, 1))
    monkeypatch.setattr(examples, "KEPT_BYTES", 0)
    fresh = Examples(data, (0, 1))
    for step in (5, None):
        assert torch.equal(kept.batch(INDICES, step), fresh.batch(INDICES, step))


def test_they_are_kept_once_for_all_stacks_of_a_data_set_and_only_where_they_fit(monkeypatch):
    data = make_data()
    assert Examples(data, (0,))._inputs is Examples(data, (1, 2))._inputs is not None
    assert Examples(make_data(), (0,))._inputs is not Examples(data, (0,))._inputs
    assert Examples(make_data(augment="crop"), (0,))._inputs is None
    monkeypatch.setattr(examples, "KEPT_BYTES", 4 * data.train.images.numel() - 1)
    assert Examples(data, (0,))._inputs is None
