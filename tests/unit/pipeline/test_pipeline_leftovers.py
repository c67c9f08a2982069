"""What params.yaml no longer names is deleted; what is current, is being written or is somebody else's is not."""

import os
from pathlib import Path

from assay.pipeline import leftovers

CURRENT = [
    *("metrics/evaluate/baseline.json", "metrics/curves/kept.csv", "metrics/timings/round-1.json"),
    *("data/predictions/kept.safetensors", "models/kept/manifest.json", "models/baseline/manifest.json"),
]
GONE = [
    *("metrics/evaluate/gone.json", "metrics/curves/gone.csv", "metrics/timings/round-12.json"),
    *("data/predictions/gone.safetensors", "models/gone/manifest.json", "models/round-2/manifest.json"),
]
NOT_OURS = [
    *("metrics/evaluate/notes.txt", "metrics/evaluate/my notes.json", "metrics/curves/.gitkeep", "metrics/gone.json"),
    *("models/mine/weights.pt", "models/readme", "metrics/report/gone.json", "metrics/evaluate/deep/gone.json"),
    *(f"models/.kept.{os.getpid()}.part/weights.safetensors", f"metrics/curves/.new.csv.{os.getpid()}.part"),
]
DEAD = ["models/.kept.999999999.part/weights.safetensors", "metrics/curves/.kept.csv.999999999.part"]


def write(root: Path, names: list[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


def test_only_leftovers_are_removed_and_named(tmp_path, capsys):
    write(tmp_path, [*CURRENT, *GONE, *NOT_OURS, *DEAD])
    leftovers.remove(tmp_path, ["kept", "round-1"])
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*CURRENT, *NOT_OURS}
    (line,) = capsys.readouterr().out.splitlines()
    assert all(name in line for name in ("metrics/evaluate/gone.json", "models/gone", "models/round-2"))
    leftovers.remove(tmp_path, ["kept", "round-1"])
    assert capsys.readouterr().out == ""


def test_blocks_that_seeds_yaml_names_stay_and_others_go(tmp_path):
    kept = ["metrics/evaluate/kept-1.json", "metrics/curves/round-1-1.csv", "models/baseline-1/manifest.json"]
    gone = ["metrics/evaluate/kept-2.json", "metrics/timings/gone-1.json", "models/round-2-1/manifest.json"]
    write(tmp_path, [*kept, *gone])
    (tmp_path / "seeds.yaml").write_text(
        "more: {kept-1: {arm: kept, method: sgd, seeds: [2]}, gone-1: {arm: gone, method: sgd, seeds: [2]}}\n"
        "more_baseline: {baseline-1: {seeds: [2]}}\n"
        'more_rounds: {"1-1": {after: baseline-1, dense: baseline-1, seeds: [2]}}\n'
    )
    leftovers.remove(tmp_path, ["kept", "round-1"])
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*kept, "seeds.yaml"}


def test_a_link_to_a_model_elsewhere_is_left_alone(tmp_path):
    write(tmp_path, ["elsewhere/manifest.json", "models/kept/manifest.json"])
    (tmp_path / "models/linked").symlink_to(tmp_path / "elsewhere")
    leftovers.remove(tmp_path, ["kept"])
    assert (tmp_path / "elsewhere/manifest.json").exists()
    assert (tmp_path / "models/linked").exists()
