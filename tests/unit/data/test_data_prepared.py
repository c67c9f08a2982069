from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.torch import save_file

from assay.core.config import Data
from assay.core.errors import AssayError
from assay.core.runtime import generator
from assay.data import preparation, published
from assay.data import raw as raw_module
from assay.data.catalog import DATA_SETS
from assay.data.preparation import moments, prepare
from assay.data.sets import prepared
from assay.data.sets.images import Images
from assay.data.splits import choose
from assay.tracking.records import read_meta

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits_raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    published.from_package(DATA_SETS["digits"], folder, folder)
    return folder


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.setitem(DATA_SETS, "mnist", tiny.idx(tmp_path / "raw"))
    return tmp_path / "raw"


def test_what_is_prepared_is_loaded(digits_raw, tmp_path):
    prepare(digits_raw, Data(name="digits", validation=200, augment="crop"), tmp_path / "out")
    data = prepared.load(tmp_path / "out", CPU)
    assert (data.name, data.augment, data.images) == ("digits", "crop", Images(1, 8, 8, 10))
    assert data.class_names == tuple("0123456789")
    for split, count in ((data.train, 1237), (data.validation, 200), (data.test, 360)):
        assert split.images.shape == (count, 1, 8, 8)
        assert (split.images.dtype, split.labels.dtype, split.labels.shape) == (torch.uint8, torch.int64, (count,))
    pixels = data.train.images.double()
    assert data.mean == pytest.approx((pixels.mean().item(),), abs=1e-6)
    assert data.std == pytest.approx((pixels.std(correction=0).item(),), abs=1e-6)


def test_the_validation_set_has_each_class_by_its_share(digits_raw, tmp_path):
    from sklearn.datasets import load_digits

    prepare(digits_raw, Data(name="digits", validation=50, split_seed=3), tmp_path / "out")
    data = prepared.load(tmp_path / "out", CPU)
    labels = torch.from_numpy(load_digits().target)[:1437]
    shares = labels.bincount() * 50 / 1437
    counts = data.validation.labels.bincount()
    assert counts.sum() == 50
    assert ((counts - shares).abs() < 1).all()
    assert torch.equal(counts + data.train.labels.bincount(), labels.bincount())


def test_within_a_class_the_head_of_a_seeded_permutation_is_taken():
    labels = np.array([1, 0, 1, 1, 0, 1, 0, 1, 0, 1])
    chosen = choose(labels, Data(name="folder", side=8, validation=5, split_seed=7), ("cat", "dog"))["validation"]
    expected = []
    for label, share in ((0, 2), (1, 3)):
        own = np.flatnonzero(labels == label)
        expected += own[torch.randperm(len(own), generator=generator(7, "validation split", label))[:share]].tolist()
    assert chosen.tolist() == sorted(expected)


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 40), min_size=2, max_size=12), part=st.floats(0, 1), seed=st.integers(0, 9))
def test_every_class_keeps_an_image_to_train_on(sizes, part, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    count = int(part * (len(labels) - len(sizes)))
    data = Data(name="folder", side=8, validation=count, split_seed=seed)
    chosen = choose(labels, data, [f"c{label}" for label in range(len(sizes))])["validation"]
    assert len(set(chosen.tolist())) == count
    taken = np.bincount(labels[chosen], minlength=len(sizes))
    assert (taken < np.array(sizes)).all()
    shares = np.array(sizes) * count / len(labels)
    spare = np.array(sizes) - 1 >= np.ceil(shares)
    assert (taken >= np.minimum(np.floor(shares), np.array(sizes) - 1)).all()
    if spare.all():  # no class is too small for its share: largest remainders
        assert (np.abs(taken - shares) < 1).all()
    assert np.array_equal(choose(labels, data, [f"c{label}" for label in range(len(sizes))])["validation"], chosen)


def test_what_would_leave_a_class_with_nothing_is_refused_by_name(capsys):
    labels = np.repeat(np.arange(10), [4, 3, 3, 3, 3, 1, 3, 3, 3, 3])
    names = [f"c{label}" for label in range(10)]
    taken = choose(labels, Data(name="folder", side=8, validation=19), names)["validation"]
    assert np.bincount(labels[taken]).tolist() == [3, 2, 2, 2, 2, 0, 2, 2, 2, 2]
    assert capsys.readouterr().out.endswith("too small for a validation image (training images): c5 (1)\n")
    with pytest.raises(AssayError, match=r"got 20; at most 19 of the 29 .* the 10 classes .*smallest, c5, has 1"):
        choose(labels, Data(name="folder", side=8, validation=20), names)["validation"]


def test_no_image_is_in_two_splits_and_none_is_lost(raw, tmp_path):
    prepare(raw, tiny.MNIST, tmp_path / "out")
    data = prepared.load(tmp_path / "out", CPU)
    both = torch.cat([data.train.images, data.validation.images]).flatten(1)
    published = torch.from_numpy(tiny.random_bytes(6, 20))
    assert sorted(both.tolist()) == sorted(published.tolist())


def test_the_seed_chooses_the_split(digits_raw, tmp_path):
    for seed in (0, 1):
        prepare(digits_raw, Data(name="digits", validation=200, split_seed=seed), tmp_path / str(seed))
    one, other = (prepared.load(tmp_path / str(seed), CPU) for seed in (0, 1))
    assert not torch.equal(one.validation.images, other.validation.images)
    assert torch.equal(one.test.images, other.test.images)
    assert one.digest != other.digest


def test_without_validation_the_split_is_empty(raw, tmp_path):
    prepare(raw, Data(name="mnist", validation=0), tmp_path / "out")
    data = prepared.load(tmp_path / "out", CPU)
    assert data.validation.images.shape == (0, 1, 5, 4)
    assert data.validation.labels.shape == (0,)
    assert len(data.train.labels) == 6


def test_the_same_inputs_give_the_same_files(raw, tmp_path):
    prepare(raw, tiny.MNIST, tmp_path / "one")
    prepare(raw, tiny.MNIST, tmp_path / "two")
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {"train.safetensors", "validation.safetensors", "test.safetensors", "meta.json"}
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in names)


def test_files_are_as_the_library_writes_them(digits_raw, tmp_path, monkeypatch):
    """Whatever the number of parts: the digest of data/prepared is in every model's manifest."""
    monkeypatch.setattr(preparation, "PART", 64 * 500)
    prepare(digits_raw, Data(name="digits", validation=200), tmp_path / "out")
    prepare(digits_raw, Data(name="digits", validation=0), tmp_path / "none")
    for folder in ("out", "none"):
        data = prepared.load(tmp_path / folder, CPU)
        for name in ("train", "validation", "test"):
            split = getattr(data, name)
            save_file({"images": split.images, "labels": split.labels}, tmp_path / "expected")
            assert (tmp_path / folder / f"{name}.safetensors").read_bytes() == (tmp_path / "expected").read_bytes()


def test_what_is_written_in_parts_is_what_is_written_at_once(digits_raw, tmp_path, monkeypatch):
    for part in (1, 64 * 500, 2**24):
        monkeypatch.setattr(preparation, "PART", part)
        prepare(digits_raw, Data(name="digits", validation=200), tmp_path / str(part))
    one, *others = (prepared.load(tmp_path / str(part), CPU).digest for part in (1, 64 * 500, 2**24))
    assert others == [one, one]


def test_few_images_are_in_memory_at_once(tmp_path, monkeypatch):
    """12 MB of images in parts of 1 MB: memory from Python's allocators, of which numpy's are."""
    (tmp_path / "raw").mkdir()
    for images, labels in (tiny.IDX_NAMES[:2], tiny.IDX_NAMES[2:]):
        raw_module.write_idx(tmp_path / "raw" / images, np.zeros((6000, 32, 32), dtype=np.uint8))
        raw_module.write_idx(tmp_path / "raw" / labels, np.arange(6000, dtype=np.uint8) % 3)
    described = tiny.described("mnist", tmp_path / "raw", Images(1, 32, 32, 3), 6000, 6000)
    monkeypatch.setitem(DATA_SETS, "mnist", described)
    monkeypatch.setattr(preparation, "PART", 2**19)
    tracemalloc.start()
    prepare(tmp_path / "raw", Data(name="mnist", validation=2000), tmp_path / "out")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6e6  # a part, and it as integers for the counts


@pytest.mark.parametrize(("share", "in_memory"), [("0", False), ("1e-9", False), ("1", True), ("", True)])
def test_images_that_do_not_fit_stay_on_the_host(share, in_memory, raw, tmp_path, monkeypatch, device):
    prepare(raw, tiny.MNIST, tmp_path / "out")
    monkeypatch.setenv("ASSAY_IMAGE_MEMORY", share)
    data = prepared.load(tmp_path / "out", device)
    assert data.in_memory is in_memory
    assert data.device.type == data.train.labels.device.type == device.type
    assert data.train.images.device.type == (device.type if in_memory else "cpu")
    assert torch.equal(data.train.at(torch.tensor([[1], [0]])).cpu(), data.train.images[[1, 0]].cpu())


def test_only_splits_that_are_asked_for_need_memory(raw, tmp_path, monkeypatch):
    prepare(raw, tiny.MNIST, tmp_path / "out")
    monkeypatch.setattr(prepared.runtime, "image_memory", lambda device: 4 * 20)
    assert prepared.load(tmp_path / "out", CPU, ("test",)).in_memory
    assert not prepared.load(tmp_path / "out", CPU, ("test", "train")).in_memory


def test_the_digest_is_of_the_content_and_not_of_its_use(raw, tmp_path):
    prepare(raw, tiny.MNIST, tmp_path / "one")
    prepare(raw, tiny.MNIST.model_copy(update={"augment": "crop_flip"}), tmp_path / "two")
    one, two = (prepared.load(tmp_path / name, CPU) for name in ("one", "two"))
    assert one.digest == two.digest
    assert (one.augment, two.augment) == ("none", "crop_flip")


def test_a_list_of_transforms_is_kept_as_it_is(raw, tmp_path):
    entries = ["crop", {"color_jitter": {"brightness": [0.5, 1.5]}}, {"random_erasing": None}]
    data = Data.model_validate({**tiny.MNIST.model_dump(exclude_unset=True), "augment": entries})
    prepare(raw, data, tmp_path / "data/prepared")
    expected = [*entries[:2], {"random_erasing": {}}]
    assert prepared.load(tmp_path / "data/prepared", CPU).augment == expected
    assert read_meta(tmp_path).augment == expected


def test_only_what_is_asked_for_is_loaded(raw, tmp_path):
    prepare(raw, tiny.MNIST, tmp_path / "out")
    (tmp_path / "out/train.safetensors").unlink()
    data = prepared.load(tmp_path / "out", CPU, splits=("test",))
    assert data.test.images.shape == (4, 1, 5, 4)
    assert data.train.images.shape == (0, 1, 5, 4)


def test_a_tampered_raw_file_is_refused_and_nothing_is_written(raw, tmp_path):
    path = raw / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AssayError, match=f"{path}: damaged or altered"):
        prepare(raw, tiny.MNIST, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_validation_as_large_as_the_data_is_refused(raw, tmp_path):
    with pytest.raises(AssayError, match=r"data\.validation: got 6; it must be less than the 6"):
        prepare(raw, Data(name="mnist", validation=6), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_prepared(tmp_path):
    with pytest.raises(AssayError, match=r"meta\.json: not found; `dvc repro prepare` writes it"):
        prepared.load(tmp_path, CPU)


@pytest.mark.parametrize("name", ["train.safetensors", "validation.safetensors", "test.safetensors"])
def test_a_damaged_split_is_named(name, raw, tmp_path):
    prepare(raw, tiny.MNIST, tmp_path / "out")
    path = tmp_path / "out" / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    with pytest.raises(AssayError, match=f"{path}: damaged or altered.*rm -r {path.parent}"):
        prepared.load(tmp_path / "out", CPU)
    path.unlink()
    with pytest.raises(AssayError, match=f"{path}: not found"):
        prepared.load(tmp_path / "out", CPU)


@pytest.mark.parametrize("change", [{"mean": [0.0]}, {"counts": {}}, {"digest": "0"}, {"more": 1}, None])
def test_a_damaged_meta_is_named(change, raw, tmp_path):
    prepare(raw, tiny.MNIST, tmp_path / "out")
    path = tmp_path / "out/meta.json"
    text = path.read_text()
    path.write_text(text[:-5] if change is None else json.dumps(json.loads(text) | change))
    with pytest.raises(AssayError, match=str(path)) as caught:
        prepared.load(tmp_path / "out", CPU)
    assert len(str(caught.value).splitlines()) == 1


@settings(max_examples=30, deadline=None)
@given(images=arrays.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.just(3))))
def test_moments_are_those_of_numpy(images):
    mean, std = moments([images])
    axes = (0, 2, 3)
    assert mean == pytest.approx(images.mean(axes), abs=1e-5)
    expected = images.std(axes)
    assert std == pytest.approx(np.where(expected == 0, 1, expected), abs=1e-5)


def test_moments_do_not_depend_on_the_parts():
    images = tiny.random_bytes(2500, 2, 3, 3)
    mean, std = moments(np.array_split(images, 7))
    assert moments([images]) == (mean, std)
    assert mean == pytest.approx(images.mean((0, 2, 3)), abs=1e-5)
    assert std == pytest.approx(images.std((0, 2, 3)), abs=1e-5)


def test_engine_does_not_import_where_bytes_come_from():
    code = (
        "import sys, assay.data.sets.prepared, assay.data.preparation\n"
        "print(sorted(m for m in sys.modules if m in ('torchvision', 'sklearn', 'PIL', 'assay.data.sources')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
