"""A repository as the stages before `compare` leave it: made-up arms that behave like trained ones."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from assay.analysis import curves, registration
from assay.core import files
from assay.models.artifact import Cost, Manifest, ModelRecord, Variant
from assay.report import summary
from assay.report.content import Content
from assay.scoring import record
from assay.scoring.predictions import Predictions
from stages import compare

if TYPE_CHECKING:
    from pathlib import Path

PARAMS = """
seeds: [100, 101, 102, 103, 104, 105, 106, 107, 108, 109]
data: {name: digits, validation: 100}
model: {name: lenet_300_100}
train: {steps: 100, batch_size: 10, optimizer: {name: adam, lr: 0.001}, evaluate_every: 20}
"""
CLAIMS = """
  - {id: sure, paper: one2020, statement: "Fixed & sound: 1 < 2 | true.", arm: cyclic, against: baseline,
     metric: accuracy, verdict: not_worse, margin: 0.5, differs_from_paper: "all of it"}
  - {id: hopeless, paper: two2021, statement: "Loses.", arm: line/midpoint, against: baseline, metric: accuracy,
     verdict: better, margin: 0.5}
  - {id: open, paper: three2022, statement: "Unclear.", arm: baseline, against: cyclic, metric: nll, verdict: better,
     matters: 0.0001}
"""
TEN = tuple(range(100, 110))  # seeds enough for a look
TRAIN = {"steps": 3000, "batch_size": 60, "optimizer": {"name": "adam", "lr": 0.0012, "betas": [0.9, 0.999]}}

TRAJECTORY = {
    "tau": 4, "saving": [120.0] * 3, "batch_a_test": [400.0] * 3, "acceptance": [0.4, 0.5, None],
    "mean_loss": [0.3] * 3,
    "batch_histogram": {"at_least": [128, 256], "tests": [[3, 1]] * 3},
    "series": {"moves": [10, 20], "loss": [[2.0, 2.1, None], [1.0, 1.1, 1.2]], "acceptance": [[0.4] * 3] * 2,
               "batch_a_test": [[128.0] * 3] * 2},
    "flags": [["it does not mix"], [], ["it does not mix"]],
    "neighbour_distance": [[0.9, 1.0, 1.1]] * 3, "reference_distance": [1.0] * 3,
}  # fmt: skip
SPARSITY = [
    {"round": n, "density": 0.8**n, "dense_bytes": 1000, "sparse_bytes": 900,
     "latency_ms": {"dense": {"1": 1.0, "256": 2.0}, "sparse": {"1": 0.5, "256": 4.0}}}
    for n in (1, 2)
]  # fmt: skip


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
                    validation_accuracy=[0.9 + 0.01 * skill] * len(self.seeds),
                    validation_loss=[0.3 - 0.01 * skill] * len(self.seeds),
                )
                for variant, count in members.items()
            },
        )
        found = {}
        for variant, count in members.items():
            disagreement = [0.011 + 0.001 * seed for seed in range(len(self.seeds))] if count > 1 else []
            answers = self.predictions(rng, skill + 0.1 * (count > 1))
            answers = with_classes(answers) if answers.labels is None else answers
            found[variant] = answers, {"disagreement": disagreement, "temperature": [1.5] * len(self.seeds)}
        made = record.make(manifest, "digits", self.class_counts(), found, {})
        record.write(self.root, record.Evaluation(made, {name: one for name, (one, *_) in found.items()}))
        self.curves(name, rng, skill, steps)

    def class_counts(self) -> dict[str, int]:
        """Ten classes of as nearly equal size as can be."""
        return {str(label): len(range(label, self.examples, 10)) for label in range(10)}

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
        files.write_json(self.root / registration.PATH, {"digest": 64 * "0", "claims": {}})
        return path


def with_classes(made: Predictions, classes: int = 10) -> Predictions:
    """Labels in turn, of `class_counts`; a wrong answer is the next class. After scaling, everything is less sure."""
    labels = np.arange(made.correct.shape[1]) % classes
    predicted = np.where(made.correct, labels, (labels + 1) % classes)
    scaled = {f"scaled_{name}": getattr(made, name) for name in ("nll", "brier")}
    sure = (0.98 * made.confidence).astype(np.float32)
    whole = {"labels": labels.astype(np.uint16), "predicted": predicted.astype(np.uint16)}
    return replace(made, **whole, **scaled, scaled_confidence=sure)


def make_site(root: Path, seeds: tuple[int, ...] = (0, 1, 2)) -> Site:
    """A folder with a baseline, an arm of one variant and an arm of two."""
    made = Site(root, seeds)
    made.arm("baseline")
    made.arm("cyclic", batches="fixed")
    made.arm("line", 2.1, {"midpoint": 1, "ensemble": 2}, method="subspace", shape="line")
    return made


def write_report(root: Path) -> Path:
    """The same after `python -m stages.compare`, with a claim of every verdict; gives the folder."""
    make_site(root, TEN).params("{cyclic: {method: sgd}, line: {method: sgd}}", CLAIMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        compare.main()
    return root


def variants_of(site: Site, arm: str) -> dict:
    """The variants of an arm as its evaluation has them."""
    content = json.loads((site.root / f"metrics/evaluate/{arm}.json").read_text())
    return content["evaluation"][0]["variants"]


def amend(site, arm: str, **changes) -> None:
    path = site.root / f"metrics/evaluate/{arm}.json"
    found = json.loads(path.read_text())["evaluation"][0]
    for key, value in changes.items():
        found[key] = found[key] | value if isinstance(found.get(key), dict) else value
    path.write_text(json.dumps({"evaluation": [record.Record.model_validate(found).signed()]}))


def every_kind(site: Site) -> Content:
    """What a report is made of, with every kind of arm that a figure is about; the site has the first three."""
    arms = ["cyclic", "line", "noisy", "chain", "round-1", "round-2"]
    site.arm("noisy", 1.5)
    amend(site, "noisy", parameters={"label_noise": 0.4})
    site.arm("chain", 1.4, {"ensemble": 4, "vote": 4, "last": 1}, method="trajectory")
    amend(site, "chain", record=TRAJECTORY)
    sweep = {"axis": "alpha", "at": [0, 0.5, 1], "accuracy": [[0.9] * 3, [0.95] * 3, [0.9] * 3], "nll": [[0.2] * 3] * 3}
    ensembles = {
        "ensemble_sizes": [1, 3],
        "ensemble_accuracy": [[0.95] * 3, [0.96] * 3],
        "ensemble_nll": [[0.2] * 3] * 2,
    }
    amend(site, "line", sweeps={"line": sweep | ensembles})
    for n, density in ((1, 0.8), (2, 0.64)):
        site.arm(f"round-{n}", 2.0, {"ticket": 1, "reinit": 1} if n == 2 else {"ticket": 1}, method="lottery")
        changes = {"density": density, "best_step_accuracy": [0.97, 0.98, 0.975]}
        amend(
            site, f"round-{n}", variants={name: one | changes for name, one in variants_of(site, f"round-{n}").items()}
        )
    evaluations = record.read_all(site.root, arms)
    return Content(evaluations, summary.rows(evaluations), [], curves.read_all(site.root, evaluations), SPARSITY)
