"""metrics/seeds.csv: what is read back is what claims are decided by, and a damaged file is a line."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from assay.analysis import seeds
from assay.core.errors import AssayError
from assay.models.artifact import ModelRecord
from assay.scoring.metrics import METRICS
from assay.scoring.record import Record, VariantRecord

BY_SEED = {name: [0.25, 0.125] for name in ("balanced_accuracy", "macro_f1", "nll", "brier", "ece")}
VARIANT = VariantRecord(
    members=2, combine="mean_probability", density=0.5, accuracy=[0.9700001, 1.0], train_samples=1e9,
    forward_samples=0, optimizer_steps=60, disagreement=[math.nan, 0.5], **BY_SEED,
)  # fmt: skip
MODEL = ModelRecord(name="mlp", arguments={}, parameters=1, flops_per_sample=10, flops_per_train_sample=20)
CLAIMS = [SimpleNamespace(metric="record.saving"), SimpleNamespace(metric="accuracy"), SimpleNamespace(metric=None)]


def evaluation() -> SimpleNamespace:
    record = Record(
        arm="line", method="subspace", seeds=[3, 1], model=MODEL, parameters={}, data="d",
        data_digest="0123456789abcdef",
        test_examples=2, class_counts={"a": 2}, variants={"last": VARIANT}, record={"saving": [1.5, 2]},
    )  # fmt: skip
    return SimpleNamespace(record=record, predictions={"last": None})


def test_every_number_of_a_claim_is_a_column_and_every_seed_a_row():
    text = seeds.text({"line": evaluation()}, CLAIMS)
    head, *rows = text.splitlines()
    assert head.split(",") == ["arm", "variant", "seed", "data", *METRICS, "record.saving"]
    assert [row.split(",")[:4] for row in rows] == [["line", "last", seed, "0123456789ab"] for seed in ("3", "1")]
    (found,) = seeds.parse(text, "x").values()
    assert found.of("accuracy") == {3: 0.97, 1: 1.0}
    assert found.of("training_cost") == {3: 3e9, 1: 3e9}
    assert found.of("record.saving") == {3: 1.5, 1: 2.0}
    assert found.numbers[1]["disagreement"] == 0.5
    assert found.of("disagreement") == {}  # a seed lacks it
    assert found.of("total_variation") == found.of("unknown") == {}


@pytest.mark.parametrize(
    "text", ["arm,variant\na,b\n", "arm,variant,seed,data\na,b,c,d\n", "arm,variant,seed,data,x\na,b,1,d,?\n", "x"]
)
def test_what_is_no_such_table_is_a_line(text):
    with pytest.raises(AssayError, match=r"^seeds.csv of 1: not a table of seeds.*dvc repro compare`$"):
        seeds.parse(text, "seeds.csv of 1")
    assert seeds.parse("", "seeds.csv") == {}
