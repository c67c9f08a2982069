"""A repository as the stages before `compare` leave it: made-up arms that behave like trained ones."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from assay.artifact import Cost, Manifest, ModelRecord, Variant
from assay.evaluation.scoring import record
from assay.evaluation.scoring.predictions import Predictions
from stages import compare

if TYPE_CHECKING:
    from pathlib import Path

PARAMS = """
seeds: [0, 1, 2]
data: {name: digits, validation: 100}
model: {name: lenet_300_100}
train: {steps: 100, batch_size: 10, optimizer: {name: adam, lr: 0.001}, evaluate_every: 20}
"""
CLAIMS = """
  - {id: sure, paper: one2020, statement: "Fixed & sound: 1 < 2 | true.", arm: cyclic, against: baseline,
     metric: accuracy, verdict: not_worse, margin: 0.5, differs_from_paper: "all of it"}
  - {id: hopeless, paper: two2021, statement: "Loses.", arm: line/midpoint, against: baseline, metric: accuracy,
     verdict: better, margin: 0.5}
  - {id: open, paper: three2022, statement: "Unclear.", arm: baseline, against: cyclic, metric: nll, verdict: better}
"""
TRAIN = {"steps": 3000, "batch_size": 60, "optimizer": {"name": "adam", "lr": 0.0012, "betas": [0.9, 0.999]}}


@dataclass
class Site:
    """Made-up evaluations and curves under a folder.

    Attributes:
        root: the folder.
        seeds: of every arm.
        examples: in the test set.
        difficulty: of each example, shared by all arms, as real ones share it.
    """

    root: Path
    seeds: tuple[int, ...] = (0, 1, 2)
    examples: int = 400
    difficulty: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.difficulty = np.random.default_rng(99).normal(size=self.examples)

    def arm(
        self, name: str, skill: float = 2.0, variants: dict[str, int] | None = None, steps: int = 3000, **options
    ) -> None:
        """Write an arm's evaluation and curves: `skill` standard normal quantiles of its examples are easy enough."""
        rng = np.random.default_rng(sum(name.encode()))
        members = variants or {"last": 1}
        manifest = Manifest(
            arm=name,
            method=options.pop("method", "sgd"),
            seeds=list(self.seeds),
            model=ModelRecord(name="lenet_300_100", flops_per_sample=70, flops_per_train_sample=200),
            images={"channels": 1, "height": 8, "width": 8, "classes": 10},
            parameters={"model": {"name": "lenet_300_100"}, "train": TRAIN | {"steps": steps}, "options": options},
            data_digest=options.get("data_digest", "ab" * 32),
            variants={
                variant: Variant(
                    members=count,
                    cost=Cost(train_samples=60 * steps, optimizer_steps=steps),
                    best_step=[steps - 100 * seed for seed in range(len(self.seeds))],
                )
                for variant, count in members.items()
            },
        )
        found = {}
        for variant, count in members.items():
            disagreement = [0.011 + 0.001 * seed for seed in range(len(self.seeds))] if count > 1 else []
            answers = self.predictions(rng, skill + 0.1 * (count > 1))
            found[variant] = answers, record.MemberRecord(disagreement=disagreement)
        made = record.make(manifest, "digits", found, {})
        record.write(self.root, record.Evaluation(made, {name: one for name, (one, _) in found.items()}))
        self.curves(name, rng, skill, steps)

    def predictions(self, rng: np.random.Generator, skill: float) -> Predictions:
        """Networks of some skill: each has a little of its own, and errs mostly where the others do."""
        own = skill + 0.04 * rng.normal(size=(len(self.seeds), 1))
        correct = (self.difficulty + 0.35 * rng.normal(size=(len(self.seeds), self.examples))) < own
        confidence = np.clip(1 - rng.exponential(np.where(correct, 0.008, 0.25)), 0.2, 1)
        of_label = np.where(correct, confidence, (1 - confidence) / 3).clip(1e-6)
        return Predictions(
            correct.astype(np.uint8),
            confidence.astype(np.float32),
            -np.log(of_label).astype(np.float32),
            np.where(correct, 1.2 * (1 - confidence) ** 2, confidence**2 + (1 - of_label) ** 2).astype(np.float32),
        )

    def curves(self, name: str, rng: np.random.Generator, skill: float, steps: int) -> None:
        path = self.root / f"metrics/curves/{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("arm", "seed", "step", "split", "loss", "accuracy"))
            for step in range(100, steps + 1, 100):
                for split, factor in (("train", 0.7), ("validation", 1.0)):
                    for seed in self.seeds:
                        error = factor * 0.3 * (step / 100) ** -0.75 * np.exp(0.12 * rng.normal()) * 2 / skill
                        writer.writerow((name, seed, step, split, round(3.3 * error + 0.02, 6), round(1 - error, 6)))

    def params(self, arms: str = "{}", claims: str = "[]") -> Path:
        """Write params.yaml."""
        path = self.root / "params.yaml"
        path.write_text(f"{PARAMS}arms: {arms}\nclaims: {claims}\n")
        return path


def make_site(root: Path) -> Site:
    """A folder with a baseline, an arm of one variant and an arm of two."""
    made = Site(root)
    made.arm("baseline")
    made.arm("cyclic", batches="fixed")
    made.arm("line", 2.1, {"midpoint": 1, "ensemble": 2}, method="subspace", shape="line")
    return made


def write_report(root: Path) -> Path:
    """The same after `python -m stages.compare`, with a claim of every verdict; gives the folder."""
    make_site(root).params("{cyclic: {method: sgd}, line: {method: sgd}}", CLAIMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        compare.main()
    return root
