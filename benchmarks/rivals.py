"""Our stacks and the loops that others write, in this process: `python -m benchmarks.rivals` prints seconds as JSON.

`make bench` starts it several times: where a process's memory lies and on which cores it runs moves a ratio by a tenth,
in one process this way and in the next one that. The rivals of a stack train the same network on the same images, which
are drawn at random, with the same optimizer:

- *common loop*: torchvision's transforms, image by image, in a DataLoader, and the optimizer as it comes.
- *loop in memory*: as an expert writes it. All images in memory as bytes, a batch normalised, shifted and mirrored at
  once (one shift for all of it, less work than our one for each image), channels last where layers convolve, autocast
  to bfloat16 where the device has it, a fused optimizer.
- *vmap*: that, of many copies at once by `torch.func`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain, count, cycle
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from assay import methods, models
from assay.core import config, runtime
from assay.data.sets.augment import PADDING
from assay.data.sets.prepared import Prepared, Split
from assay.engine.context import TrainContext
from assay.engine.stack import kernel_names
from benchmarks.engine import COLOUR, GREY, matrix_product_rate, seconds_a_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from assay.core.config import Optimizer
    from assay.data.sets.images import Images

ROUNDS, SECONDS = 4, 1.0
COMMON, MEMORY, VMAP = "common loop", "loop in memory", "vmap of 10"
Precision = Literal["float32", "bfloat16"]
Step = tuple["Callable[[], object]", int]  # a step, and the copies that it moves


@dataclass(frozen=True)
class Case:
    """A network and how it is trained; `images` of each shape are drawn, as many as the data set has that it is of."""

    images: Images
    count: int
    augment: Literal["none", "crop_flip"]
    batch: int
    optimizer: Optimizer
    copies: tuple[int, ...]


SGD = config.SGD(name="sgd", lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
CASES = {"lenet_300_100": Case(GREY, 60_000, "none", 60, config.Adam(name="adam", lr=1.2e-3), (1, 5, 10))}
CASES |= {name: Case(COLOUR, 10_000, "crop_flip", 128, SGD, (1, 5)) for name in ("small_cnn", "resnet_20", "conv_2")}


def precision_of(name: str, device: torch.device) -> Precision:
    """What all contenders train with: bfloat16 where layers convolve and the device has it."""
    convolves = kernel_names(models.blueprint(name, CASES[name].images, {}))
    return "bfloat16" if convolves and runtime.has_bfloat16(device) else "float32"


def data_of(case: Case, device: torch.device) -> Prepared:
    """Random images of a case, on the device."""
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (case.count, *case.images.shape), dtype=torch.uint8, generator=source)
    labels = torch.randint(0, case.images.classes, (case.count,), generator=source)
    split = Split(images.to(device), labels.to(device))
    mean, std = ((value,) * case.images.channels for value in (127.5, 73.6))
    return Prepared("random", case.images, (), mean, std, case.augment, "", split, split, split)


def stack_step(
    name: str, copies: int, data: Prepared, precision: Precision | None = None, **changes: object
) -> Callable[[], object]:
    """A step of our stack of so many copies, everything included: sampling, gathering, gradients, update, counters.

    `changes` to the run make it another method's.
    """
    case = CASES[name]
    train = config.Train(
        steps=10**6,
        batch_size=case.batch,
        optimizer=case.optimizer,
        evaluate_every=10**6,
        precision=precision or precision_of(name, data.train.images.device),
    )
    model = config.Model(name=name)
    run = config.Run(arm=name, method="sgd", seeds=tuple(range(copies)), model=model, train=train, options={})
    update, numbers = methods.make_update(TrainContext(run.model_copy(update=changes), data)), count()
    return lambda: update.step(next(numbers))


class Pictures(Dataset[tuple[Any, int]]):
    """The images one by one, as torchvision's data sets give them."""

    def __init__(self, split: Split, transform: Callable[[Any], Tensor]) -> None:
        self.images = split.images.cpu().movedim(1, -1).squeeze(-1).numpy()
        self.labels, self.transform = split.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def common_step(name: str, workers: int, data: Prepared) -> Callable[[], object]:
    """A step of one network as most people train it."""
    from torchvision import transforms

    case, device = CASES[name], data.train.images.device
    side, scale = case.images.height, [[value / 255 for value in values] for values in (data.mean, data.std)]
    random = [transforms.RandomCrop(side, PADDING), transforms.RandomHorizontalFlip()]
    to_input = [transforms.ToTensor(), transforms.Normalize(*scale)]
    pictures = Pictures(data.train, transforms.Compose([*(random if case.augment != "none" else []), *to_input]))
    loader = DataLoader(pictures, batch_size=case.batch, shuffle=True, drop_last=True, num_workers=workers)
    batches = chain.from_iterable(cycle([loader]))  # an epoch after another, each shuffled anew
    network = models.build(name, case.images).to(device)
    optimizer = _optimizer(case, network.parameters(), fused=None)

    def step() -> None:
        images, labels = (tensor.to(device) for tensor in next(batches))
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def memory_step(name: str, data: Prepared) -> Callable[[], object]:
    """A step of one network as an expert trains it."""
    case, device = CASES[name], data.train.images.device
    network, batches = models.build(name, case.images).to(device), _batches(case, data)
    layout = torch.channels_last if kernel_names(network) else torch.contiguous_format
    network, rounded = network.to(memory_format=layout), precision_of(name, device) == "bfloat16"
    optimizer = _optimizer(case, network.parameters(), fused=True)

    def step() -> None:
        images, labels = next(batches)
        with torch.autocast(device.type, torch.bfloat16, enabled=rounded):
            loss = F.cross_entropy(network(images.contiguous(memory_format=layout)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def vmap_step(name: str, copies: int, data: Prepared) -> Callable[[], object]:
    """A step of many copies by `torch.func`, each on a batch of its own."""
    case, device = CASES[name], data.train.images.device
    networks, batches = [models.build(name, case.images).to(device) for _ in range(copies)], _batches(case, data)
    parameters, _ = stack_module_state(networks)
    optimizer = _optimizer(case, parameters.values(), fused=True)

    def loss(own: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(networks[0], own, (images,)), labels)

    gradients = vmap(grad(loss))

    def step() -> None:
        images, labels = (torch.stack(each) for each in zip(*(next(batches) for _ in range(copies)), strict=True))
        for name, gradient in gradients(parameters, images, labels).items():
            parameters[name].grad = gradient
        optimizer.step()

    return step


def _batches(case: Case, data: Prepared) -> Iterator[tuple[Tensor, Tensor]]:
    device, (_, height, width) = data.train.images.device, case.images.shape
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (data.mean, data.std))
    while True:
        for own in torch.randperm(case.count, device=device).split(case.batch)[: case.count // case.batch]:
            images = data.train.images[own]
            if case.augment != "none":
                top, left = torch.randint(2 * PADDING + 1, (2,)).tolist()
                images = F.pad(images, (PADDING,) * 4)[..., top : top + height, left : left + width]
                mirrored = torch.rand(len(own), 1, 1, 1, device=device) < 0.5
                images = torch.where(mirrored, images.flip(-1), images)
            yield images.float().sub_(mean).div_(std), data.train.labels[own]


def _optimizer(case: Case, parameters: Any, *, fused: bool | None) -> torch.optim.Optimizer:
    settings = case.optimizer.model_dump(exclude={"name"})
    kind: Any = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[case.optimizer.name]
    return kind(parameters, fused=fused, **settings)  # type: ignore[no-any-return]


def contenders(name: str, device: torch.device) -> dict[str, Step]:
    """A step of each contender for a network, and how many copies it moves."""
    case = CASES[name]
    data = data_of(case, device)
    steps: dict[str, Step] = {COMMON: (common_step(name, 0, data), 1)}
    if name == "lenet_300_100":
        steps[f"{COMMON}, 2 workers"] = common_step(name, 2, data), 1
        steps[VMAP] = vmap_step(name, 10, data), 10
    steps[MEMORY] = memory_step(name, data), 1
    return steps | {f"stack of {copies}": (stack_step(name, copies, data), copies) for copies in case.copies}


def measure(name: str, device: torch.device) -> dict[str, dict[str, list[float]]]:
    """By contender and round: `seconds` a step and copy, and the `ceiling`, operations a second of a matrix product."""
    steps = contenders(name, device)
    calls = {one: max(1, round(SECONDS / seconds_a_step(step, 4))) for one, (step, _) in steps.items()}
    found: dict[str, dict[str, list[float]]] = {one: {"seconds": [], "ceiling": []} for one in steps}
    for start in range(ROUNDS):
        order = list(steps.items())
        # each in turn comes first: a processor that rested with a slower contender is faster with the next
        for one, (step, copies) in order[start % len(order) :] + order[: start % len(order)]:
            before = matrix_product_rate(device)
            step()  # a training meets caches that hold its own data, not the contender's before
            found[one]["seconds"].append(seconds_a_step(step, calls[one]) / copies)
            found[one]["ceiling"].append((before + matrix_product_rate(device)) / 2)
    return found


if __name__ == "__main__":
    where = runtime.set_up()
    print(json.dumps({name: measure(name, where) for name in CASES}))
