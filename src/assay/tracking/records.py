"""What the stages left on disk about the data and about one arm, checked before anything is logged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field

from assay.core import files
from assay.core.config.parsing import InList, parse
from assay.core.errors import AssayError, again
from assay.core.plain import read_csv, read_json
from assay.models import artifact
from assay.models.artifact import Manifest, Record
from assay.scoring import merging
from assay.scoring.record import VariantRecord  # noqa: TC001 (pydantic reads annotations at run time)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

R = TypeVar("R", bound=Record)
MAKES = "`dvc repro` makes it, `dvc pull` fetches it"


class Meta(Record):
    """`data/prepared/meta.json`: the data as the networks saw it.

    Attributes:
        name: of the data set.
        class_names: by label.
        counts: examples in train, validation and test.
        mean: of each channel of the training images, on the scale of their pixels, 0 to 255.
        std: likewise.
        augment: how batches are augmented.
        digest: of the prepared bytes.
    """

    name: str
    images: dict[str, int]
    class_names: list[str] = Field(default_factory=list)
    counts: dict[str, int]
    mean: list[float]
    std: list[float]
    augment: str = "none"
    digest: str


class Evaluation(InList, Record):
    """`metrics/evaluate/<arm>.json`."""

    arm: str
    variants: dict[str, VariantRecord] = Field(min_length=1)


class ArmFiles:
    """Where the files of an arm, or of one block of its seeds, are.

    Args:
        root: the repository's root.
        name: `baseline`, an arm or `round-<n>`, or a block of one.
        blocks: the files of the arm's blocks of further seeds, in their order.

    Attributes:
        parts: the files of the first seeds, then those of the blocks.
    """

    def __init__(self, root: Path, name: str, blocks: Sequence[ArmFiles] = ()) -> None:
        self.root, self.name, self.parts = root, name, (self, *blocks)
        self.model = root / "models" / name
        self.manifest, self.weights = self.model / artifact.MANIFEST, self.model / artifact.WEIGHTS
        self.evaluation = root / f"metrics/evaluate/{name}.json"
        self.curves = root / f"metrics/curves/{name}.csv"
        self.timings = root / f"metrics/timings/{name}.json"  # may be absent

    @property
    def logged(self) -> list[Path]:
        """The small files, those of them that are there; the blocks' too."""
        small = [path for one in self.parts for path in (one.evaluation, one.curves, one.timings, one.manifest)]
        return [path for path in small if path.is_file()]


@dataclass(frozen=True)
class ArmRecord:
    """An arm as its files tell it, with all its seeds.

    Attributes:
        files: where they are.
        seeds: how many each of `files.parts` has.
        manifest: what the networks are.
        evaluation: their scores.
        timings: `seconds` and the like; empty where the file is absent.
        no_better_than_majority: the variants whose accuracy does not lie above the share of the largest class.
    """

    files: ArmFiles
    manifest: Manifest
    evaluation: Evaluation
    timings: dict[str, Any]
    seeds: tuple[int, ...]
    no_better_than_majority: tuple[str, ...] = ()

    @property
    def first(self) -> str:
        """The variant that the bare arm stands for."""
        return next(iter(self.manifest.variants))

    def best_seed(self, variant: str) -> int:
        """Which of the seeds stands for a variant, 0 to S - 1: the best on the validation set, without one the first.

        It has the highest validation accuracy, and of equal ones the lower validation loss. One that diverged is last.
        """
        record = self.manifest.variants[variant]
        losses = [-loss if math.isfinite(loss) else -math.inf for loss in record.validation_loss]
        ranks = list(zip(record.validation_accuracy or [0.0] * len(losses), losses, strict=True))
        return ranks.index(max(ranks)) if ranks else 0

    def place(self, seed: int) -> tuple[ArmFiles, int]:
        """Which of `files.parts` holds the networks of a seed, and its index there; `seed` is an index of all."""
        for part, count in zip(self.files.parts, self.seeds, strict=True):
            if seed < count:
                return part, seed
            seed -= count
        raise IndexError(f"{self.files.name}: no seed of this index")

    def accuracy(self, variant: str, seed: int) -> float:
        """The test accuracy of one seed's networks; `seed` is an index."""
        return self.evaluation.variants[variant].accuracy[seed]

    @property
    def seconds(self) -> float:
        """How long the training took; 0 where nobody measured."""
        return float(self.timings.get("seconds", 0))


def read_meta(root: Path) -> Meta:
    """Read what is known of the data.

    Raises:
        AssayError: the file is missing or damaged, or holds something else.
    """
    path = root / "data/prepared/meta.json"
    meta = _read(Meta, path, root)
    content = meta.model_dump(mode="json", exclude_unset=True, exclude={"name", "augment", "digest"})
    if meta.digest != files.content_digest(content):  # as `prepared.write` takes it
        shown = path.relative_to(root)
        raise AssayError(f"{shown}: damaged or altered: its content does not have its digest; {again(shown.parent)}")
    return meta


def read_arm(root: Path, name: str, meta: Meta, blocks: Iterable[str] = ()) -> ArmRecord:
    """Read the small files of an arm; its weights are compared with their digest, not loaded.

    Args:
        root: the repository's root.
        name: the arm's.
        meta: of the data.
        blocks: the names of its blocks of further seeds.

    Raises:
        AssayError: a file is missing, holds something else, or belongs to other data or another training.
    """
    places = ArmFiles(root, name, [ArmFiles(root, block) for block in blocks])
    manifests, evaluations = zip(*(_read_part(part, meta) for part in places.parts), strict=True)
    found = [load_json(part.timings, root) for part in places.parts if part.timings.is_file()]
    timings = {**found[0], "seconds": sum(float(one.get("seconds", 0)) for one in found)} if found else {}
    seeds = tuple(len(manifest.seeds) for manifest in manifests)
    return ArmRecord(
        places,
        _together(manifests, seeds, {"seeds", "variants", "record"}),
        _together(evaluations, seeds, {"variants"}),
        timings,
        seeds,
        _no_better_than_majority(places),
    )


def _read_part(places: ArmFiles, meta: Meta) -> tuple[Manifest, Evaluation]:
    root, name = places.root, places.name
    for path in (places.manifest, places.weights, places.curves):
        if not path.is_file():
            raise AssayError(f"{path.relative_to(root)}: not found; {MAKES}")
    manifest = artifact.verified(places.model)
    evaluation = _read(Evaluation, places.evaluation, root)
    if manifest.data_digest != meta.digest:
        raise AssayError(f"models/{name}: trained on other data than is in data/prepared; run `dvc repro`")
    if set(evaluation.variants) != set(manifest.variants):
        shown = places.evaluation.relative_to(root)
        raise AssayError(
            f"{shown}: scores {', '.join(evaluation.variants)}, but models/{name} holds "
            f"{', '.join(manifest.variants)}; run `dvc repro`"
        )
    return manifest, evaluation


def _together(parts: Sequence[R], seeds: Sequence[int], fields: set[str]) -> R:
    """The first, with these fields put together from those of all blocks."""
    first = parts[0]
    if len(parts) == 1:
        return first
    merged = merging.together([part.model_dump(include=fields) for part in parts], seeds)
    return type(first).model_validate({**first.model_dump(), **merged})


def _no_better_than_majority(places: ArmFiles) -> tuple[str, ...]:
    """What `metrics/summary.csv` says of the arm's variants; nothing where there is no such file."""
    path = places.root / "metrics/summary.csv"
    lines = read_csv(path, MAKES) if path.is_file() else ()
    return tuple(
        line["variant"] for line in lines if line.get("arm") == places.name and line.get("above_majority") == "False"
    )


def _read(kind: type[R], path: Path, root: Path) -> R:
    return parse(kind, load_json(path, root), str(path.relative_to(root)))


def load_json(path: Path, root: Path) -> Any:
    """Read a JSON file of the repository at `root`.

    Raises:
        AssayError: it is missing or not JSON.
    """
    return read_json(path, MAKES, "delete it and run `dvc repro`", shown=path.relative_to(root))
