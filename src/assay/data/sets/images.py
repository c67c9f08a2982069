"""The splits of a data set, what a network must know of its images, and what an image file is turned into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fit = Literal["crop", "pad", "stretch"]
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


@dataclass(frozen=True)
class Preparation:
    """What becomes of an image file before training, and before a prediction: `assay.data.decoding.read_image` does it.

    Height and width are in pixels. `fit` says how an image of another shape gets there: `crop` scales it until it
    covers them and cuts from the centre, `pad` scales it until it fits inside and fills up with black, `stretch` scales
    each side by itself. With one channel the image is grey, by ITU-R 601-2 luma.

    JSON keeps it as `dataclasses.asdict(preparation)`, and `Preparation(**content)` reads it.
    """

    height: int
    width: int
    fit: Fit = "crop"
    channels: int = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width), the shape of what `read_image` gives."""
        return self.channels, self.height, self.width

    def __str__(self) -> str:
        return f"side [{self.height}, {self.width}], fit {self.fit}, channels {self.channels}"
