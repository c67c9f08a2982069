"""A repository as the stages leave it: the baseline, and the arm `line` with two variants, of a tiny linear network."""

import json
from pathlib import Path

import torch

from assay.core import files
from assay.data.sets.images import Images
from assay.models import artifact, build, predictor
from assay.models.artifact import Artifact, Manifest
from assay.pipeline import lockfile

IMAGES = {"channels": 1, "height": 4, "width": 4, "classes": 3}
SEEDS = [0, 1]
DATA = {
    "images": IMAGES, "class_names": ["a", "b", "c"], "mean": [30.0], "std": [70.0],
    "counts": {"train": 50, "validation": 10, "test": 20}, "files": {},
}  # fmt: skip
DIGEST = files.content_digest(DATA)
SCORES = {"nll": [0.5, 0.7], "brier": [0.2, 0.3], "ece": [0.01, 0.03], "best_step": [100, 200]}
SCORES |= {"balanced_accuracy": [0.6, 0.8], "macro_f1": [0.5, 0.7]}
COST = {"train_samples": 6000, "forward_samples": 0, "optimizer_steps": 100}


def without_onnx(patch) -> None:
    """Writing the champion as ONNX takes seconds; `tests/unit/cli/test_cli_export.py` has what is written."""
    patch.setattr(predictor, "write_onnx", lambda network, images, path: path.write_bytes(b"onnx"))


def write_repository(root: Path) -> None:
    meta = {"name": "digits", **DATA, "augment": "none", "digest": DIGEST}
    files.write_json(root / "data/prepared/meta.json", meta)
    write_arm(root, "baseline", {"last": 1}, accuracy=[0.9, 0.8])
    write_arm(root, "line", {"midpoint": 1, "ensemble": 2}, accuracy=[0.95, 0.85])
    write_report(root)
    write_lock(root)


def write_arm(
    root: Path,
    name: str,
    members: dict[str, int],
    accuracy: list[float],
    validation: tuple[float, ...] = (0.9, 0.9),
    model: str = "linear",
    images: dict[str, int] = IMAGES,
    arm: str = "",
    block: int = 0,
    **arguments: object,
) -> None:
    """Write all files of an arm, or of a block of one.

    Args:
        root: the repository's root.
        name: of the files.
        members: of each variant, of which all have the same scores but for one hundredth a member more.
        accuracy: on the test set, of each seed.
        validation: the accuracy of each seed on the validation set; none where empty.
        model: its network, and what that takes.
        images: what the network is for.
        arm: which one, where its files have another name.
        block: its number.
    """
    arm = arm or name
    seeds = [seed + block * len(SEEDS) for seed in SEEDS]
    generator = torch.Generator().manual_seed(len(name))
    network = build(model, Images(**images), **arguments)
    weights = {
        variant: {
            name: torch.randn(len(SEEDS), count, *tensor.shape, generator=generator)
            for name, tensor in network.state_dict().items()
        }
        for variant, count in members.items()
    }
    manifest = Manifest.model_validate(
        {
            "arm": arm, "method": "subspace" if arm == "line" else "sgd", "seeds": seeds, "block": block,
            "model": {"name": model, "arguments": arguments}, "images": images, "data_digest": DIGEST,
            "parameters": {
                "model": {"name": model},
                "train": {"steps": 200, "optimizer": {"name": "adam", "lr": 0.001}, "precision": "float32"},
                "options": {"beta": 1.0} if arm == "line" else {},
            },
            "variants": {
                variant: {
                    "members": count, "cost": COST, "validation_loss": [0.4, 0.3] if validation else [],
                    "validation_accuracy": [one + 0.01 * (count - 1) for one in validation],
                }
                for variant, count in members.items()
            },
        }
    )  # fmt: skip
    artifact.write(root / "models" / name, Artifact(manifest=manifest, weights=weights))
    scores = {"density": 1.0, "combine": "mean_probability", "accuracy": accuracy, **SCORES, **COST}
    variants = {
        variant: {
            **scores,
            **manifest.variants[variant].model_dump(include={"validation_accuracy", "validation_loss"}),
            "members": count,
            "accuracy": [a + 0.01 * (count - 1) for a in accuracy],
        }
        for variant, count in members.items()
    }
    evaluation = {
        **manifest.model_dump(include={"arm", "method", "seeds", "model", "parameters", "data_digest"}),
        "data": "digits", "test_examples": 20, "class_counts": {"a": 8, "b": 7, "c": 5}, "variants": variants,
    }  # fmt: skip
    files.write_json(root / "metrics/evaluate" / f"{name}.json", evaluation)
    files.write_text(root / "metrics/curves" / f"{name}.csv", curves(arm, [0, 100, 200]))
    timings = {"seconds": 12.5, "steps_per_second": 16.0, "device": "cpu", "threads": 1}
    files.write_json(root / "metrics/timings" / f"{name}.json", timings)


def curves(arm: str, steps: list[int]) -> str:
    rows = ["arm,seed,step,split,loss,accuracy"]
    for step in steps:
        for seed in SEEDS:
            rows += [f"{arm},{seed},{step},{split},{2.0 - step / 200 + seed},0.5" for split in ("train", "validation")]
    return "\n".join(rows) + "\n"


def write_report(root: Path) -> None:
    claim = {
        "id": "line-is-better", "paper": "p", "statement": "s", "metric": "accuracy", "arm": "line/midpoint",
        "against": "baseline", "difference": 0.05, "interval": [0.01, 0.09], "verdict": "reproduced",
        "seeds": 2, "differs_from_paper": "",
    }  # fmt: skip
    files.write_json(root / "metrics/claims.json", [claim])
    files.write_text(root / "metrics/summary.csv", "arm,variant,difference\nbaseline,last,\nline,midpoint,0.05\n")
    files.write_text(root / "metrics/report/advice.md", "1 claim tested.\n\n- **To drop.** Nothing.\n")
    files.write_text(root / "metrics/report/index.html", "<!doctype html><title>Report</title><p>All arms.</p>")
    files.write_text(root / "metrics/report/accuracy.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>")


def write_lock(root: Path) -> None:
    """A dvc.lock (JSON is YAML) whose entries change with what the stages wrote."""
    stages = {"compare": entry(root, "metrics/claims.json", "metrics/summary.csv")}
    for arm, train, evaluate in (
        ("baseline", "baseline", "evaluate_baseline"),
        ("line", "train@line", "evaluate@line"),
    ):
        stages[train] = entry(root, f"models/{arm}", f"metrics/curves/{arm}.csv")
        stages[evaluate] = entry(root, f"metrics/evaluate/{arm}.json")
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))


def entry(root: Path, *outs: str) -> dict[str, object]:
    return {"cmd": "c", "outs": [{"path": out, "md5": lockfile.digest(root / out)} for out in outs]}
