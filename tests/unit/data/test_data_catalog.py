from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from assay.core.config import Data
from assay.core.config.parsing import parse
from assay.core.errors import AssayError
from assay.core.plain import text_of, yaml_of
from assay.data import catalog
from assay.data.catalog import CATALOG, DATA_SETS, DataSet
from assay.data.raw import READERS
from assay.data.sets.images import Images

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("data_set", DATA_SETS.values(), ids=DATA_SETS.keys())
def test_entry_agrees_with_itself(data_set):
    assert len(data_set.class_names) == data_set.images.classes == len(set(data_set.class_names))
    assert data_set.layout in READERS
    lengths = {"md5": 32, "sha1": 40, "sha256": 64}
    digests = [known.split(":") for known in data_set.files.values()]
    assert all(len(digest) == lengths[algorithm] for algorithm, digest in digests)


@pytest.mark.parametrize("name", ["cifar100", "stl10"])
def test_checks_are_torchvisions(name):
    from torchvision import datasets

    source = getattr(datasets, DATA_SETS[name].official)
    theirs = dict(source.train_list + source.test_list)
    ours = {file: known.removeprefix("md5:") for file, known in DATA_SETS[name].files.items()}
    assert ours.items() <= theirs.items()


def test_fashion_class_names_are_torchvisions():
    from torchvision.datasets import FashionMNIST

    assert list(DATA_SETS["fashion_mnist"].class_names) == FashionMNIST.classes


def test_cifar100_names_are_sorted_as_its_labels_are():
    assert list(DATA_SETS["cifar100"].class_names) == sorted(DATA_SETS["cifar100"].class_names)


def test_images_are_known_up_front_except_for_a_folder():
    assert catalog.images_of(Data(name="cifar10", validation=0)) == Images(3, 32, 32, 10)
    assert catalog.images_of(Data(name="folder", validation=0, side=32)) is None


def test_validation_must_be_smaller_than_the_training_set():
    catalog.check(Data(name="stl10", validation=4999))
    with pytest.raises(AssayError, match=r"data\.validation: got 5000; .* less than the 5000 .* stl10"):
        catalog.check(Data(name="stl10", validation=5000))


def test_a_folder_is_checked_once_it_is_there():
    data = Data(name="folder", validation=7, side=32)
    catalog.check(data)
    with pytest.raises(AssayError, match=r"data\.validation: got 7"):
        catalog.check(data, 7)


def test_the_stage_scan_knows_every_data_set_and_is_never_done_with_a_folder():
    found = {name: entry["train"] for name, entry in yaml_of(text_of(CATALOG), str(CATALOG)).items()}
    assert [name for name, value in found.items() if value != value] == ["folder"]


def test_an_unknown_data_set_is_named_with_what_is_allowed():
    line = r"^params\.yaml: data\.name: got 'digit'; did you mean digits\? allowed: mnist, .*, folder$"
    with pytest.raises(AssayError, match=line):
        catalog.check(Data(name="digit", validation=0))


def test_no_training_needs_the_catalogue():
    code = "import sys; from assay.core import config; config.load(); from stages import train; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "assay.data.sets.prepared" in loaded
    assert "assay.data.catalog" not in loaded


def test_each_layout_that_an_entry_may_have_has_a_reader():
    assert get_args(DataSet.model_fields["layout"].annotation) == tuple(READERS)
    with pytest.raises(AssayError, match=r"mnist\.layout: got 'idxx'"):
        parse(DataSet, {**DATA_SETS["mnist"].model_dump(), "layout": "idxx"}, "catalog.yaml", "mnist.")
