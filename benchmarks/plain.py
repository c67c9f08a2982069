"""The reference: one network, trained as most people write it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def lenet() -> nn.Module:
    """LeNet-300-100 as a plain module."""
    layers = [nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)]
    return nn.Sequential(*layers)


class PlainLoop:
    """torchvision's MNIST, its transforms, a DataLoader, Adam.

    Args:
        raw: the folder with MNIST's four IDX files.
        root: an empty folder, in which the data set is laid out as torchvision wants it.
        batch_size: examples a step.
        workers: of the DataLoader.
        device: where the network is.
    """

    def __init__(self, raw: Path, root: Path, batch_size: int, workers: int, device: torch.device) -> None:
        from torchvision import datasets, transforms

        place = root / "MNIST" / "raw"
        if not place.exists():
            place.parent.mkdir(parents=True)
            place.symlink_to(raw.resolve(), target_is_directory=True)
        to_input = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
        images = datasets.MNIST(root, train=True, transform=to_input)
        self.loader = DataLoader(images, batch_size=batch_size, shuffle=True, num_workers=workers)
        self.device = device
        self.network = lenet().to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1.2e-3)
        self.loss = nn.CrossEntropyLoss()
        self._batches: Iterator[tuple[torch.Tensor, torch.Tensor]] = iter(())

    def step(self) -> None:
        """One step of the loop."""
        try:
            images, labels = next(self._batches)
        except StopIteration:
            self._batches = iter(self.loader)
            images, labels = next(self._batches)
        images, labels = images.to(self.device), labels.to(self.device)
        self.optimizer.zero_grad()
        loss = self.loss(self.network(images), labels)
        loss.backward()
        self.optimizer.step()


def step_operations(batch_size: int) -> int:
    """Floating-point operations of one forward and one backward pass, by PyTorch's own counter."""
    network = lenet()
    counter = FlopCounterMode(display=False)
    with counter:
        network(torch.zeros(batch_size, 1, 28, 28)).sum().backward()
    return counter.get_total_flops()


def matrix_product_rate(device: torch.device, repeats: int = 3) -> float:
    """Floating-point operations a second of a device's large matrix product in float32, the mean of a few."""
    size = 2048 if device.type == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    finish()
    start = time.perf_counter()
    for _ in range(repeats):
        left @ right
    finish()
    return repeats * 2 * size**3 / (time.perf_counter() - start)


def finish() -> None:
    """Wait until a GPU has done what it was given: it works on while Python goes ahead."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
