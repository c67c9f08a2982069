"""summary.csv: one row a variant, written, read back, and turned into tables."""

import csv
import io

import numpy as np
import pytest

from assay.core.errors import AssayError
from assay.report import summary, tables
from assay.scoring import record


@pytest.fixture
def evaluations(site):
    return record.read_all(site.root, ["cyclic", "line"])


@pytest.fixture
def rows(evaluations):
    return summary.rows(evaluations)


def test_a_row_for_each_variant_the_baseline_first(rows):
    assert [(row.arm, row.variant) for row in rows] == [
        ("baseline", "last"),
        ("cyclic", "last"),
        ("line", "midpoint"),
        ("line", "ensemble"),
    ]


AFTER = ("worst_class", "top_5", "scaled_nll", "scaled_brier", "scaled_ece")


def test_the_columns_of_the_file(rows):
    header, *lines = csv.reader(io.StringIO(summary.csv_text(rows)))
    assert header == [
        *("arm", "variant", "method", "seeds", "members", "density"),
        *("accuracy", "accuracy_min", "accuracy_max", "difference", "difference_low", "difference_high"),
        *("nll", "nll_min", "nll_max", "brier", "brier_min", "brier_max", "ece", "ece_min", "ece_max"),
        *("disagreement", "train_samples", "forward_samples", "optimizer_steps", "inference_cost", "best_step"),
        *("combine", "label_noise", "training_cost", "training_flops", "inference_flops", "total_variation"),
        *("balanced_accuracy", "balanced_accuracy_min", "balanced_accuracy_max"),
        *("macro_f1", "macro_f1_min", "macro_f1_max", "majority_share", "above_majority"),
        *(f"{name}{end}" for name in AFTER for end in ("", "_min", "_max")),
    ]
    baseline, _, _, ensemble = (dict(zip(header, line, strict=True)) for line in lines)
    assert (baseline["difference"], baseline["disagreement"]) == ("", "")
    assert (baseline["train_samples"], baseline["density"], baseline["best_step"]) == ("180000", "1", "2900")
    assert (baseline["training_cost"], baseline["training_flops"]) == ("540000", "36000000")
    assert (ensemble["members"], ensemble["inference_cost"], ensemble["disagreement"]) == ("2", "2", "0.012")


def test_numbers_are_those_of_the_evaluation(rows, evaluations):
    values = evaluations["line"].record.variants["midpoint"].nll
    row = rows[2]
    assert (row.nll, row.nll_min, row.nll_max) == pytest.approx((np.mean(values), min(values), max(values)), abs=1e-6)
    difference = np.mean(evaluations["line"].record.variants["midpoint"].accuracy) - rows[0].accuracy
    assert row.difference == pytest.approx(difference, abs=2e-6)
    assert row.difference_low < row.difference < row.difference_high


def test_the_file_is_read_back(rows, tmp_path):
    path = tmp_path / "summary.csv"
    path.write_text(summary.csv_text(rows))
    assert summary.read(path) == rows


def test_a_file_from_before_metrics_by_class_is_read_and_shown_without_them(rows, tmp_path):
    path = tmp_path / "summary.csv"
    header, *lines = csv.reader(io.StringIO(summary.csv_text(rows)))
    old = header.index("balanced_accuracy")
    path.write_text("\n".join(",".join(line[:old]) for line in (header, *lines)))
    found = summary.read(path)
    assert (found[1].macro_f1, found[1].above_majority) == (None, None)
    assert "Macro F1" not in tables.results(found).columns
    assert summary.no_better_than_majority(found) == ""


def test_an_arm_whose_interval_reaches_the_majority_share_is_named(site):
    site.arm("chance", -1.45)
    evaluations = record.read_all(site.root, ["cyclic", "chance"])
    chance = evaluations["chance"].record
    assert 0.05 < np.mean(chance.variants["last"].accuracy) < 0.2  # ten classes of equal size
    rows = summary.rows(evaluations)
    assert [row.above_majority for row in rows] == [True, True, False]
    expected = "No better than always answering the largest class (10.0 %): chance."
    assert summary.no_better_than_majority(rows) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (
            {"a": 95, "b": 5},
            ["by class: a (95), b (5). The largest class, a, is 95.0 % of them.", "unequal"],
        ),
        (
            {"a": 10, "b": 12, "c": 0},
            ["by class: a (10), b (12), c (0). The largest class, b, is 54.5 %"],
        ),
        ({"a": 7}, ["by class: a (7). The largest class, a, is 100.0 % of them.", "unequal"]),
        ({f"c{i}": 9 + i % 2 for i in range(20)} | {"d": 0}, ["9 to 10 in each of 20 classes, none in 1 more"]),
    ],
)
def test_the_sizes_of_classes_are_told(evaluations, counts, expected):
    update = {"class_counts": counts, "test_examples": sum(counts.values())}
    found = summary.class_sentences(evaluations["baseline"].record.model_copy(update=update))
    assert len(found) == len(expected)
    assert all(part in sentence for part, sentence in zip(expected, found, strict=True))


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "summary.csv"
    with pytest.raises(AssayError, match=r"summary.csv: not found"):
        summary.read(path)
    path.write_text("arm,variant\nbaseline,last\n")
    with pytest.raises(AssayError, match=r"summary.csv:2: method: missing"):
        summary.read(path)


def test_columns_share_their_decimals(rows):
    table = tables.results(rows)
    for column in range(len(table.columns) - 1):
        shown = {len(cells[column].value.partition(".")[2]) for _, cells in table.rows if cells[column].value != "—"}
        assert len(shown) == 1


def test_results_show_value_and_uncertainty(rows):
    table = tables.results(rows)
    assert table.columns[1:4] == ("Accuracy", "Difference to baseline", "Balanced accuracy")
    assert [name for name, _ in table.rows] == ["baseline", "cyclic", "line/midpoint", "line/ensemble"]
    _, cells = table.rows[1]
    assert float(cells[0].value) == pytest.approx(100 * rows[1].accuracy, abs=0.06)
    assert cells[0].detail.count("–") == 1
    assert cells[1].detail.startswith("[")
    assert table.rows[0][1][1].value == "—"


def test_disagreement_has_no_column_where_nothing_has_members(rows):
    assert tables.results(rows).columns[-1] == "Disagreement"
    assert tables.results(rows[:3]).columns[-1] == "ECE"


def test_one_seed_has_no_spread(rows):
    single = [row.model_copy(update={"seeds": 1, "difference_low": None, "difference_high": None}) for row in rows]
    for _, cells in tables.results(single).rows:
        assert not any(cell.detail for cell in cells)


def test_parameters_show_what_differs_from_the_baseline(evaluations):
    found = tables.parameters({name: one.record for name, one in evaluations.items()})
    assert found["baseline"]["train.optimizer.betas"] == "0.9, 0.999"
    assert found["cyclic"] == {"batches": "fixed"}
    assert found["line"] == {"method": "subspace", "shape": "line"}
