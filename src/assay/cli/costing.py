"""How long a training takes here: measured where it ran here with these parameters, estimated where it did not.

An estimate is the training's floating-point operations over the rate of trainings that were timed, those most like it:
on this machine, of the same parameters, by the same method, of the same model, in this order. Where nothing was timed
the rate is that of a matrix product, which no training reaches.
"""

from __future__ import annotations

import json
import time
from contextlib import nullcontext, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from assay import methods, models
from assay.core import config, files, runtime
from assay.core.config.blocks import read_blocks, stages_of
from assay.data import catalog
from assay.data.sets.images import Images
from assay.pipeline.plan import Cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from assay.core.config import Params, Run

TIMINGS, META = "metrics/timings", "data/prepared/meta.json"
DENSE = ("linear", "mlp", "lenet_300_100")  # models that are counted in a moment
SIDE, PRODUCTS = 512, 8  # of the matrices that are multiplied, and how often


class Costing:
    """What was timed in the repository at `root`, and what follows from it for what `params` trains.

    Raises:
        AssayError: there is no such data set.
    """

    def __init__(self, root: Path, params: Params) -> None:
        catalog.check(params.data)
        self._root, self._params = root, params
        found: dict[str, Any] = {}  # by what was trained: in the copy that git holds, and here since
        with suppress(OSError, ValueError, TypeError):
            found = dict(files.read_json((root / TIMINGS).with_suffix(".json")))
        for path in sorted((root / TIMINGS).glob("*.json")):
            with suppress(ValueError):
                found[path.stem] = files.read_json(path)
        self._timed = {name: one for name, one in found.items() if _is_timing(one)}
        self._counted: dict[str, int | None] = {}

    def of(self, run: Run) -> Cost | None:
        """The seconds of a training with all its start-up; None for own images that are not prepared yet."""
        digest, device = run.digest(self._params.data.name), runtime.device_name()
        own = self._timed.get(run.name)
        if own and (own["run"], own["seeds"]) == (digest, len(run.seeds)) and _is_here(own, device):
            return Cost(own["seconds"] + own.get("start_up_seconds", 0.0), measured=True)
        of_sample, model = self._flops_per_sample(run), run.model.model_dump()
        if of_sample is None:
            return None

        def likeness(one: Mapping[str, Any]) -> tuple[bool, ...]:
            return _is_here(one, device), one["run"] == digest, one["method"] == run.method, one["model"] == model

        best = max(map(likeness, self._timed.values()), default=())
        like = [one for one in self._timed.values() if likeness(one) == best]
        rate = sum(one["flops"] for one in like) / sum(one["seconds"] for one in like) if like else _peak()
        start_up = max((one.get("start_up_seconds", 0.0) for one in like), default=0.0)
        return Cost(of_sample * methods.resolve(run).samples / rate + start_up, measured=False)

    def by_stage(self, runs: Iterable[Run] | None = None) -> dict[str, Cost]:
        """The costs of these runs, by default of all in params.yaml and seeds.yaml, by stage."""
        if runs is None:
            blocks = config.block_runs(self._params, read_blocks(self._root / config.SEEDS_FILE))
            runs = [*self._params.runs(), *blocks]
        return {stages_of(run.name)[0]: cost for run in runs if (cost := self.of(run)) is not None}

    def _flops_per_sample(self, run: Run) -> int | None:
        """Forward and backward, as it was counted when this model was trained on this data, or counted now."""
        model, data = run.model.model_dump(), self._params.data
        for one in self._timed.values():
            if (one["model"], one["data"]) == (model, data.name):
                return int(one["flops_per_sample"])
        name = json.dumps(model, sort_keys=True)
        if name not in self._counted:
            images = catalog.images_of(data)
            with suppress(OSError, ValueError, TypeError, KeyError):
                images = images or Images(**files.read_json(self._root / META)["images"])
            # shapes alone where weights are many and take seconds to draw; to load what that takes costs two itself
            with nullcontext() if run.model.name in DENSE else torch.device("meta"):
                counts = models.operations(run.model.name, images, run.model.arguments) if images else None
            self._counted[name] = counts[1] if counts else None
        return self._counted[name]


@cache
def _peak() -> float:
    """Operations a second of a matrix product."""
    factor = torch.rand(SIDE, SIDE)
    torch.mm(factor, factor)
    began = time.perf_counter()
    for _ in range(PRODUCTS):
        torch.mm(factor, factor)
    return PRODUCTS * 2 * SIDE**3 / (time.perf_counter() - began)


def _is_timing(content: Any) -> bool:
    with suppress(TypeError, KeyError):  # files of older versions do not say of what they are
        return bool(content["flops"] > 0 and content["seconds"] > 0 and "run" in content)
    return False


def _is_here(timing: Mapping[str, Any], device: str) -> bool:
    """Whether this machine took the time."""
    if device != "cpu":
        return str(timing["device"]) != "cpu"
    return (str(timing["device"]), str(timing["processor"])) == ("cpu", runtime.processor())
