"""Curves, counters and progress: what a training tells of itself."""

from __future__ import annotations

import csv
import io
import re
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from assay.core.errors import AssayError
from assay.engine import loop
from assay.engine.checkpoint import Scratch
from assay.engine.context import TrainContext
from assay.engine.loop import COLUMNS, Curves, StepProgress, train
from assay.engine.stack import BatchStats
from assay.engine.step_rule import Counters
from assay.methods import make_update

CPU = torch.device("cpu")


def test_curves_have_a_row_a_copy_and_know_the_best_step():
    curves = Curves([("line", 3), ("line", 9)])
    for step, losses in [(10, [1.0, 2.0]), (20, [0.5, 3.0]), (30, [0.5, 1.0])]:
        curves.add(step, "validation", torch.tensor(losses), torch.tensor([0.25, 0.75]))
        curves.add(step, "train", torch.zeros(2), torch.ones(2))
        curves.add(step, "test", torch.zeros(2), torch.tensor([0.01, 0.02]) * step)
    rows = list(csv.reader(io.StringIO(curves.csv())))
    assert tuple(rows[0]) == COLUMNS
    assert rows[1] == ["line", "3", "10", "validation", "1.0", "0.25"]
    assert len(rows) == 1 + 3 * 2 * 3
    assert curves.best("line") == ([20, 30], [0.2, 0.6])  # the first of equals
    assert curves.best("another") == ([], [])


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_diverged_training_is_named(loss):
    curves = Curves([("line", 3), ("line", 9)])
    with pytest.raises(AssayError, match=r"line: the train loss of seed 9 is (nan|inf) at step 10.*lower"):
        curves.add(10, "train", torch.tensor([1.0, loss]), torch.zeros(2))


def test_running_means_begin_anew_when_taken_and_survive_a_checkpoint():
    copies = [("line", 3), ("line", 9)]
    curves, other = Curves(copies), Curves(copies)
    losses = torch.tensor([[1.0, 3.0], [0.0, 2.0]])
    curves.see(BatchStats(losses, losses > 1))
    other.restore(curves.state())
    curves.see(BatchStats(losses + 2, losses > 1))
    for own in (curves, other):
        own.add_train(10)
    curves.add_train(20)
    assert [row[4:] for row in curves.rows] == [(3.0, 0.5), (2.0, 0.5), (0.0, 0.0), (0.0, 0.0)]
    assert [row[4:] for row in other.rows] == [(2.0, 0.5), (1.0, 0.5)]


def test_costs_are_means_over_copies_times_members():
    counters = Counters(2, CPU)
    counters.add("train_samples", 60)
    counters.add("train_samples", torch.tensor([1, 2]))
    counters.add("optimizer_steps", 1)
    cost = counters.cost(3)
    assert (cost.train_samples, cost.forward_samples, cost.optimizer_steps) == (184.5, 0, 3)
    assert isinstance(cost.optimizer_steps, int)


def show(*, terminal: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=160, highlight=False)
    with StepProgress("line", 40, iter([0, *[10**6] * 9]).__next__, 0, console) as progress:
        progress.evaluated("validation", 0.5, 0.9)
        progress.step(20)
        progress.evaluated("validation", 0.25, 0.95)
        progress.step(40)
    return stream.getvalue()


def test_without_a_terminal_progress_is_plain_lines():
    lines = show(terminal=False).splitlines()
    assert len(lines) == 1  # the first came too early to be worth a line
    assert lines[0].startswith("line: step 40/40")
    assert re.search(r"  [\d,.]+ steps/s  [\d,]{5,} images/s  0 s left", lines[0])
    assert lines[0].endswith("validation loss 0.2500  accuracy 95.00 %")
    assert "\x1b" not in lines[0]


def test_without_a_terminal_a_line_comes_every_ten_seconds_whether_something_was_evaluated_or_not(monkeypatch):
    clock = iter(range(0, 400, 4))
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=clock.__next__))
    stream = io.StringIO()
    with StepProgress("line", 10, lambda: 0, 0, Console(file=stream, width=160)) as progress:
        for done in range(1, 11):
            progress.step(done)
    assert re.findall(r"step (\d+)/10", stream.getvalue()) == ["3", "6", "9", "10"]
    assert "  0 s left\n" in stream.getvalue()


def test_on_a_terminal_progress_is_a_bar_with_loss_accuracy_rate_and_time_left():
    text = show(terminal=True)
    for part in ("━", "40/40", "steps/s", "images/s", "loss 0.2500", "accuracy 95.00 %", "0:00:00"):
        assert part in text


@pytest.mark.parametrize(("seconds", "said"), [(1.0, "40 steps/s"), (48.0, "0.83 steps/s"), (400.0, "0.10 steps/s")])
def test_a_rate_has_two_digits(seconds, said, monkeypatch):
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=iter([0.0, seconds]).__next__))
    stream = io.StringIO()
    with StepProgress("line", 40, iter([50, 50 + 40 * 128]).__next__, 0, Console(file=stream)) as progress:
        progress.evaluated("validation", 0.25, 0.95)
        progress.step(40)
    assert f"  {said}  {40 * 128 / seconds:,.0f} images/s  0 s left" in stream.getvalue()


def test_a_training_says_in_one_line_that_its_bfloat16_is_emulated(make_run, data, tmp_path, capsys, monkeypatch):
    run = make_run(precision="bfloat16", own=("precision",), steps=1)
    for native in (False, True):
        monkeypatch.setattr(loop.runtime, "has_bfloat16", lambda _, native=native: native)
        context = TrainContext(run, data)
        with Scratch("probe", {}, CPU, tmp_path) as scratch:
            train(make_update(context), context, scratch)
        lines = [line for line in capsys.readouterr().out.splitlines() if "bfloat16" in line]
        assert len(lines) == (0 if native else 1)
        assert all(line.startswith("params.yaml: arms.probe.precision: bfloat16 is emulated here; ") for line in lines)


@pytest.mark.parametrize("early_stops", [{"arm": "baseline"}, {"label_noise": 0.2}])
def test_the_test_curve_is_drawn_where_its_early_stops_are_a_control_and_progress_shows_validation(
    early_stops, make_run, data, tmp_path, capsys
):
    """A claim may name `best_step_accuracy` there; nothing is chosen by it."""
    context = TrainContext(make_run(**early_stops), data)
    with Scratch("probe", {}, CPU, tmp_path) as scratch:
        trained = train(make_update(context), context, scratch)
    assert {row[3] for row in trained.curves.rows} == {"train", "validation", "test"}
    assert "  validation loss " in capsys.readouterr().out
