"""The papers whose promises are tested, as a reader should see them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A paper: the topic it stands for, and how it is cited."""

    topic: str
    cited: str


PAPERS = {
    "sahayam2023": Paper("Hard mini-batches", "Sahayam, Zakkam, Jayaraman 2023, arXiv 2304.03486"),
    "spoerer2024": Paper("Subset pretraining", "Spoerer et al. 2024, arXiv 2410.16523"),
    "wortsman2021": Paper("Neural-network subspaces", "Wortsman et al. 2021, ICML"),
    "frankle2019": Paper("Lottery tickets", "Frankle and Carbin 2019, arXiv 1803.03635"),
    "mair2023": Paper("Ensembles by trajectory sampling", "Mair, Causer, Garrahan 2023, arXiv 2306.13442"),
}


def paper(key: str) -> Paper:
    """The paper of a claim; a key that is none of these stands for itself."""
    return PAPERS.get(key, Paper(key, ""))
