"""What all tests share: one thread, deterministic kernels, small data that needs no network, and where to run.

A test that takes `device` runs on the CPU, and once more on the GPU where there is one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import hypothesis
import pytest
import torch

from assay.core.config import Adam, Model, Run, Train
from assay.data.sets.images import Images
from assay.data.sets.prepared import Prepared, Split

if TYPE_CHECKING:
    from collections.abc import Callable

    from assay.engine.stack import Weights
    from assay.engine.step_rule import GradientUpdate


hypothesis.settings.register_profile("suite", deadline=None)  # a loaded machine is no failure
hypothesis.settings.load_profile("suite")
CPU = torch.device("cpu")
DEVICES = [CPU, *([torch.device("cuda")] if torch.cuda.is_available() else [])]


def pytest_report_header() -> str:
    return f"devices: {', '.join(map(str, DEVICES))}"


def pytest_collection_modifyitems(items):
    """The longest file first, so that the other workers do all the rest beside it."""
    items.sort(key=lambda item: item.path.name != "test_pipeline_repro.py")


@pytest.fixture(autouse=True)
def _one_thread_and_deterministic():
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as in runtime.set_up
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.allow_tf32 = False
    torch.set_flush_denormal(False)  # a test that sets a stage up leaves it on, and hypothesis draws denormals


@pytest.fixture(params=DEVICES, ids=str)
def device(request) -> torch.device:
    return request.param


def make_data(
    examples: int = 96,
    channels: int = 1,
    side: int = 8,
    classes: int = 4,
    augment: str = "none",
    device: torch.device = CPU,
) -> Prepared:
    """Random images, each class brightest in a column of its own, so that there is something to learn."""
    generator = torch.Generator().manual_seed(0)

    def split(count: int) -> Split:
        labels = torch.randint(0, classes, (count,), generator=generator)
        images = torch.randint(0, 128, (count, channels, side, side), generator=generator, dtype=torch.uint8)
        images[torch.arange(count), :, :, labels] += 100
        return Split(images.to(device), labels.to(device))

    return Prepared(
        name="synthetic",
        images=Images(channels, side, side, classes),
        class_names=tuple(str(label) for label in range(classes)),
        mean=(80.0,) * channels,
        std=(50.0,) * channels,
        augment=augment,
        digest="0" * 64,
        train=split(examples),
        validation=split(32),
        test=split(32),
    )


@pytest.fixture
def data() -> Prepared:
    return make_data()


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """A run on the synthetic data, with whatever a test changes."""

    def make(**changes) -> Run:
        train = Train(
            steps=changes.pop("steps", 12),
            batch_size=changes.pop("batch_size", 16),
            optimizer=changes.pop("optimizer", Adam(name="adam", lr=0.01)),
            evaluate_every=changes.pop("evaluate_every", 5),
            **{key: changes.pop(key) for key in ("schedule", "precision") if key in changes},
        )
        defaults = {"arm": "probe", "method": "sgd", "seeds": (0, 1, 2), "model": Model(name="linear"), "options": {}}
        return Run(**{**defaults, **changes}, train=train)

    return make


@pytest.fixture
def moved() -> Callable[..., tuple[Weights, float]]:
    """Take one step; gives the gradients and the rate that the optimizer was handed."""

    def take(update: GradientUpdate, step: int = 0) -> tuple[Weights, float]:
        handed: list[tuple[Weights, float]] = []
        move = update.optimizer.step

        def spy(gradients: Weights, rate: float) -> None:
            handed.append(({name: tensor.clone() for name, tensor in gradients.items()}, rate))
            move(gradients, rate)

        update.optimizer.step = spy
        update.step(step)
        update.optimizer.step = move
        return handed[0]

    return take
