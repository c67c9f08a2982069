"""Mixup and CutMix: the shares of pixels are those of labels, and nothing is left where λ is 1."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from assay import methods
from assay.core.config import Model
from assay.core.errors import AssayError
from assay.data.sets.images import Images
from assay.data.sets.prepared import Split
from assay.engine.context import TrainContext
from assay.engine.stack import Stack
from tests.conftest import make_data

UNMIXED = {"mixup": {"lam": 1.0}, "cutmix": {"box": (0, 0, 0, 0), "lam_adjusted": 1.0}}
MODELS = {
    "dense": Model(name="mlp", hidden=[6]),
    "folded": Model(name="mlp", hidden=[6]),
    "sliced": Model(name="vgg", widths=[[4], [4]], batch_norm=True),
}
SEEDS = (0, 1, 2)


@pytest.fixture
def update_of(make_run, device):
    """The update of a mixing arm on the data of `make_data`, or other data."""

    def make(kind, data=None, alpha=1.0, **changes):
        options = {"kind": kind, "alpha": alpha} if kind else {}
        run = make_run(method="mixing" if kind else "sgd", options=options, **changes)
        return methods.make_update(TrainContext(run, data or make_data(device=device)))

    return make


def numbered(examples: int = 16) -> Split:
    """Image i is i everywhere, and of class i."""
    numbers = torch.arange(examples)
    return Split(numbers.to(torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8).contiguous(), numbers)


@pytest.fixture
def mixed(update_of):
    """The numbered images, mixed by each seed, at each step: images, shares, and each example's own class."""
    data = replace(make_data(), images=Images(1, 8, 8, 16), train=numbered(), mean=(0.0,), std=(1.0,))

    def mix(kind, *steps, **changes):
        update = update_of(kind, data, **changes)
        for step in steps or (0,):
            indices = update.batches.select(step, None)
            yield (*update.inputs_and_labels(indices, step), update.batches.labels(indices))

    return mix


@pytest.mark.parametrize("kind", UNMIXED)
@pytest.mark.parametrize("strategy", MODELS)
def test_a_share_of_1_is_plain_training_bit_for_bit(kind, strategy, update_of, monkeypatch):
    both = [update_of(each, model=MODELS[strategy], precision="float32") for each in (kind, None)]
    monkeypatch.setattr(both[0].mix, "make_params", lambda _: dict(UNMIXED[kind]))
    for update in both:
        update.stack = Stack(update.network, len(SEEDS), update.stack.device, strategy=strategy)
    for step in range(8):
        own, plain = (update.step(step) for update in both)
        assert torch.equal(own.losses, plain.losses)
        assert torch.equal(own.correct, plain.correct)
    for name, tensor in both[1].stored.items():
        assert torch.equal(both[0].stored[name], tensor), name


def test_mixup_mixes_pixels_in_the_shares_of_the_labels(mixed):
    ((images, shares, own),) = mixed("mixup")
    numbers = torch.arange(16.0, device=shares.device)
    torch.testing.assert_close(images, (shares @ numbers)[:, :, None, None, None].expand_as(images))
    torch.testing.assert_close(shares.sum(-1), torch.ones_like(shares[..., 0]))
    assert (shares.count_nonzero(dim=-1) == 2).all()
    lam = shares.gather(-1, own[..., None])[..., 0]
    assert (lam == lam[:, :1]).all()  # one a batch
    assert len(lam[:, 0].unique()) == len(SEEDS)  # and each copy its own


def test_cutmix_pastes_a_box_of_the_labels_share(mixed):
    sizes = set()
    for images, shares, own in mixed("cutmix", *range(12)):
        for copy in range(len(SEEDS)):
            for image, share, label in zip(images[copy, :, 0], shares[copy], own[copy], strict=True):
                pasted = image != label
                assert pasted.sum().item() == round(64 * (1 - share[label].item()), 3)
                if not pasted.any():
                    continue
                rows, columns = pasted.any(1).nonzero()[:, 0], pasted.any(0).nonzero()[:, 0]
                assert pasted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
                (other,) = image[pasted].unique().long()
                torch.testing.assert_close(share[other], 1 - share[label])
            sizes.add(int(pasted.sum()))
    assert len(sizes) > 10


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0])
def test_shares_are_of_the_beta_distribution(alpha, mixed):
    batches = mixed("mixup", *range(250), alpha=alpha, batch_size=2)
    lam = torch.cat([shares.gather(-1, own[..., None])[:, 0, 0] for _, shares, own in batches])
    assert lam.mean().item() == pytest.approx(0.5, abs=0.1)
    assert lam.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)


@pytest.mark.parametrize("kind", UNMIXED)
def test_a_copy_mixes_alone_as_in_company(kind, mixed):
    ((images, shares, _),) = mixed(kind, 4)
    ((alone, own, _),) = mixed(kind, 4, seeds=SEEDS[1:2])
    assert torch.equal(images[1:2], alone)
    assert torch.equal(shares[1:2], own)


def test_labels_are_those_that_label_noise_left(mixed):
    ((_, clear, own),) = mixed("mixup")
    ((_, noisy, drawn),) = mixed("mixup", label_noise=0.9)
    assert (own != drawn).float().mean() > 0.5
    assert noisy.gather(-1, drawn[..., None]).min() >= clear.gather(-1, own[..., None]).min()
    assert not torch.equal(noisy, clear)


def test_an_answer_is_correct_that_names_the_larger_share(update_of):
    update = update_of("mixup")
    indices = update.batches.select(0, None)
    inputs, shares = update.inputs_and_labels(indices, 0)
    update.network.train()
    answers = update.stack.forward({**update.stored, **update.buffers}, inputs).argmax(-1)
    found = update.gradients(update.stored, indices, 0)
    assert torch.equal(found.correct, answers == shares.argmax(-1))


def test_batches_of_one_are_refused(make_run):
    run = make_run(method="mixing", options={"kind": "mixup"}, batch_size=1, own=("batch_size",))
    with pytest.raises(AssayError, match=r"arms.probe.batch_size: of one example, probe mixes none"):
        methods.resolve(run).check(Images(1, 8, 8, 4), 96)
