"""What a network must know of the images that it is built for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Images:
    """The shape of one example and the number of classes.

    Attributes:
        channels: 1 for grey, 3 for colour.
        height: in pixels.
        width: in pixels.
        classes: number of labels, 0 to classes - 1.
    """

    channels: int
    height: int
    width: int
    classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width), the shape of one example."""
        return self.channels, self.height, self.width
