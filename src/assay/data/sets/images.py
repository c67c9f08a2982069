"""The splits of a data set, and what a network must know of the images that it is built for."""

from __future__ import annotations

from dataclasses import dataclass

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Images:
    """The number of channels (1 for grey, 3 for colour), height and width in pixels, and number of classes."""

    channels: int
    height: int
    width: int
    classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width), the shape of one example."""
        return self.channels, self.height, self.width
