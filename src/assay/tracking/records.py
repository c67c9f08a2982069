"""What the stages left on disk about the data and about one arm, checked before anything is logged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from assay.core import files
from assay.core.config.parsing import parse
from assay.core.errors import ANEW, AssayError, again
from assay.core.plain import read_csv, read_json
from assay.data.sets.images import Fit, Images, Preparation
from assay.models import artifact
from assay.models.artifact import Manifest
from assay.scoring import merging
from assay.scoring.record import RECORDS, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

R = TypeVar("R", Manifest, Record)
MAKES = "`dvc repro` makes it, `dvc pull` fetches it"
META, SUMMARY = Path("data/prepared/meta.json"), "metrics/summary.csv"


class Meta(artifact.Record):
    """`data/prepared/meta.json`: the data; mean and std are of each channel, on the scale of the pixels, 0 to 255."""

    name: str
    images: Images
    class_names: list[str]
    counts: dict[str, int]
    mean: list[float]
    std: list[float]
    augment: str | list[Any]
    digest: str
    fit: Fit = "crop"

    @property
    def preparation(self) -> Preparation:
        """What becomes of an image file that is to be predicted."""
        return Preparation(self.images.height, self.images.width, self.fit, self.images.channels)


class ArmFiles:
    """Paths of the files of `baseline`, an arm or `round-<n>`, or of one block of its seeds; timings may be absent."""

    def __init__(self, root: Path, name: str) -> None:
        self.name, self.model = name, root / "models" / name
        self.manifest, self.weights = self.model / artifact.MANIFEST, self.model / artifact.WEIGHTS
        self.evaluation = root / RECORDS / f"{name}.json"
        self.curves = root / f"metrics/curves/{name}.csv"
        self.timings = root / f"metrics/timings/{name}.json"


@dataclass(frozen=True)
class ArmRecord:
    """An arm as its files tell it, with all its seeds."""

    parts: tuple[ArmFiles, ...]  # the files of the first seeds, then those of the blocks of further seeds
    seeds: tuple[int, ...]  # the number of seeds of each part
    manifest: Manifest
    evaluation: Record
    seconds: float | None = None  # duration of the training; None where no part has timings
    no_better_than_majority: tuple[str, ...] = ()  # variants whose accuracy is not above the share of the largest class

    @property
    def name(self) -> str:
        """`baseline`, the arm's name, or `round-<n>`."""
        return self.parts[0].name

    @property
    def first(self) -> str:
        """The variant that the bare arm stands for."""
        return next(iter(self.manifest.variants))

    @property
    def logged(self) -> list[Path]:
        """The small files of all parts that exist."""
        small = (path for one in self.parts for path in (one.evaluation, one.curves, one.timings, one.manifest))
        return [path for path in small if path.is_file()]

    def best_seed(self, variant: str) -> int:
        """The index of the seed that stands for a variant, 0 to S - 1: the best on the validation set, else the first.

        It has the highest validation accuracy, and of equal ones the lower validation loss. One that diverged is last.
        """
        record = self.manifest.variants[variant]
        losses = [-loss if math.isfinite(loss) else -math.inf for loss in record.validation_loss]
        ranks = list(zip(record.validation_accuracy or [0.0] * len(losses), losses, strict=True))
        return ranks.index(max(ranks)) if ranks else 0

    def place(self, seed: int) -> tuple[ArmFiles, int]:
        """The part that holds the networks of a seed, and the seed's index there; `seed` is an index of all."""
        places = [(part, at) for part, count in zip(self.parts, self.seeds, strict=True) for at in range(count)]
        return places[seed]


def read_meta(root: Path) -> Meta:
    """Read what is known of the data.

    Raises:
        AssayError: the file is missing or damaged, or holds something else.
    """
    meta = parse(Meta, load_json(root / META, root), str(META))
    content = meta.model_dump(mode="json", exclude_unset=True, exclude={"name", "augment", "digest"})
    if meta.digest != files.content_digest(content):  # as data/sets/prepared.py takes it
        raise AssayError(f"{META}: damaged or altered: its content does not have its digest; {again(META.parent)}")
    return meta


def read_arm(root: Path, name: str, meta: Meta, blocks: Iterable[str] = ()) -> ArmRecord:
    """Read the small files of an arm and of its blocks of seeds; weights are compared with their digest, not loaded.

    Raises:
        AssayError: a file is missing, holds something else, or belongs to other data or another training.
    """
    parts = tuple(ArmFiles(root, one) for one in (name, *blocks))
    manifests, evaluations = zip(*(_read_part(root, part, meta) for part in parts), strict=True)
    seeds = tuple(len(manifest.seeds) for manifest in manifests)
    timings = [load_json(part.timings, root) for part in parts if part.timings.is_file()]
    summary = read_csv(root / SUMMARY, MAKES, ANEW) if (root / SUMMARY).is_file() else []
    own = (line for line in summary if line.get("above_majority") == "False" and line["arm"] == name)
    return ArmRecord(
        parts,
        seeds,
        _together(manifests, seeds, {"seeds", "variants", "record"}),
        _together(evaluations, seeds, {"seeds", "variants"}),
        sum(float(one.get("seconds", 0)) for one in timings) if timings else None,
        tuple(line["variant"] for line in own),
    )


def _read_part(root: Path, part: ArmFiles, meta: Meta) -> tuple[Manifest, Record]:
    for path in (part.manifest, part.weights, part.curves):
        if not path.is_file():
            raise AssayError(f"{path.relative_to(root)}: not found; {MAKES}")
    manifest, shown = artifact.verified(part.model), part.evaluation.relative_to(root)
    evaluation = parse(Record, load_json(part.evaluation, root), str(shown))
    if manifest.data_digest != meta.digest:
        raise AssayError(f"models/{part.name}: trained on other data than is in data/prepared; run `dvc repro`")
    if set(evaluation.variants) != set(manifest.variants):
        scored, held = (", ".join(one.variants) for one in (evaluation, manifest))
        raise AssayError(f"{shown}: scores {scored}, but models/{part.name} holds {held}; run `dvc repro`")
    return manifest, evaluation


def _together(parts: Sequence[R], seeds: Sequence[int], fields: set[str]) -> R:
    """The first part, with these fields put together from those of all parts."""
    if len(parts) == 1:
        return parts[0]
    merged = merging.together([part.model_dump(include=fields) for part in parts], seeds)
    return type(parts[0]).model_validate({**parts[0].model_dump(), **merged})


def load_json(path: Path, root: Path, damaged: str | None = None) -> Any:
    """Read a JSON file of the repository at `root`, by default one that is in DVC's cache.

    Raises:
        AssayError: it is missing or not JSON; `damaged` says what to do then.
    """
    shown = path.relative_to(root)
    return read_json(path, MAKES, damaged or again(shown), shown)
