"""A user's own images, in folders by class or listed in labels.csv: checked, packed into a few files, reported.

data/own.json holds their digest, by which DVC sees that they changed: the stage `scan` writes it, `download` depends on
it, and `assay plan` asks whether it would change. It is in git, so that a clone without the images knows which ones
data/raw was packed from.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from assay.core import files, runtime
from assay.core.config import PARAMS_FILE
from assay.core.config.sections import FOLDER
from assay.core.errors import AssayError
from assay.data import catalog, raw
from assay.data.decoding import read_image, shown
from assay.data.listing import Tree, raise_all, scan
from assay.data.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from assay.core.config import Data
    from assay.data.sets.images import Preparation

    Place = tuple[int, Path]  # of an image: its number in the packed file, and the file of the user

RECORD = "data/own.json"
VARIABLE = "ASSAY_DATA_DIR"
DEFAULT = Path("data/own")
_EXAMPLES = 3  # named where more are counted
MANY = 500  # images from which on they are decoded by several processes, whose start takes a second
TOGETHER = 16  # images that a process decodes before it tells


def root_of_images() -> Path:
    """Where the user's images are: `ASSAY_DATA_DIR`, or data/own."""
    return Path(os.environ.get(VARIABLE) or DEFAULT).expanduser()


def stale(name: str, root: Path = Path()) -> str | None:
    """The text that data/own.json should hold, if it holds another one now; else None.

    For a published data set, by its `name`, the text is that of an empty object. Where `data/own` is not on this
    machine nothing is stale: data/raw may come from the cache or the remote. `root` is the repository's.

    Raises:
        AssayError: the images are not laid out as they should be, or `ASSAY_DATA_DIR` names no folder.
    """
    images, named, path = root / root_of_images(), os.environ.get(VARIABLE), root / RECORD
    if name == FOLDER and not images.is_dir():
        if not named:
            return None
        remedy = "name the one that holds your images, or unset it to go on with what data/raw was packed from"
        raise AssayError(f"{VARIABLE}={named}: no such folder; {remedy}")
    text = json.dumps({"digest": scan(images).digest} if name == FOLDER else {}, indent=2) + "\n"
    return None if path.is_file() and path.read_text(encoding="utf-8") == text else text


def obtain(data: Data, target: Path, work: Path) -> bool:
    """Pack the user's images into the empty folder `work`, and print what was found and done.

    Gives whether `work` was filled: not where `target` (data/raw) holds the images already.

    Raises:
        AssayError: there are no images, or something about them is wrong; the line names the file or folder.
    """
    root = root_of_images()
    if not root.is_dir():  # go on with what `target` holds
        try:
            counts = raw.verify_packed(target, data).counts
        except AssayError as error:
            named = f"{VARIABLE}={root}" if os.environ.get(VARIABLE) else f"{VARIABLE} is not set, and {root}"
            raise AssayError(
                f"data set folder: no images: {named}: no such folder; {error}\n"
                f"Set {VARIABLE} to a folder with <class>/*.png (other layouts: docs/data.md), or put it at {DEFAULT}."
            ) from None
        catalog.check(data, counts["train"])
        return False
    tree = scan(root)
    raw.check_own(data, tree.counts, str(root), None if tree.unreadable else tree.digest)
    catalog.check(data, tree.counts["train"])
    fresh = True
    try:
        fresh = raw.verify_packed(target, data).digest != tree.digest
    except AssayError as error:
        if target.is_dir():
            print(f"{error}; packing again")
    found = pack(tree, data, work) if fresh else []
    pin = f"to pin these images, set data.digest: {tree.digest} in {PARAMS_FILE}"
    lines = [
        *tree.remarks,
        *_table(tree),
        *found,
        *copies(tree, bool(data.validation or data.test)),
        *([] if data.digest else [pin]),
    ]
    print(*(shown(line if line.startswith("  ") else f"{root}: {line}") for line in lines), sep="\n")
    return fresh


class Packed(NamedTuple):
    """What is told of an image that was packed."""

    notes: tuple[str, ...]  # as `Decoded.notes`
    look: bytes  # a digest of its pixels
    flat: bool  # whether it is of a single colour


def pack(tree: Tree, data: Data, out: Path) -> list[str]:
    """Write images, as `read_image` gives them, labels and their record into `out`: equal images give equal bytes.

    Many images are decoded by as many processes as `runtime.threads` says, each writing at their places in the file.
    Gives lines about what was done, and about images of a single colour; an `AssayError` names the unreadable ones.
    """
    preparation = raw.preparation_of(data)
    wrong, flat = tree.unreadable_lines(), set[str]()
    notes: defaultdict[str, list[str]] = defaultdict(list)
    looks: defaultdict[tuple[str, int], dict[str, bytes]] = defaultdict(dict)  # digests of pixels, by split and label
    count = sum(tree.counts.values())
    with closing(Progress("packing images", count, "images")) as bar, _workers(count) as each:
        for split, entries in tree.images.items():
            images_file, labels_file = (out / name for name in raw.file_names(split))
            images_file.write_bytes(raw.idx_header((len(entries), *preparation.shape)))
            readable = [(at, *entry) for at, entry in enumerate(entries) if entry[0] not in tree.unreadable]
            parts = [readable[start : start + TOGETHER] for start in range(0, len(readable), TOGETHER)]
            places = ([(at, tree.root / path) for at, path, _ in part] for part in parts)
            packed = each(partial(_pack_some, images_file, preparation), places)
            for part, found in zip(parts, packed, strict=True):
                bar.update(len(part))
                for (_, path, label), one in zip(part, found, strict=True):
                    if isinstance(one, str):
                        wrong.append(one)
                        continue
                    for note in one.notes:
                        notes[note].append(path)
                    looks[split, label][path] = one.look
                    if one.flat:
                        flat.add(path)
            raw.write_idx(labels_file, np.array([label for _, label in entries]))
    raise_all(wrong)
    if (groups := tree.groups_of("train")) is not None:
        raw.write_idx(out / raw.GROUPS, groups)
    record = raw.Record(
        class_names=tree.class_names,
        **data.model_dump(include={"side", "fit", "channels"}),
        digest=tree.digest,
        counts=tree.counts,
        files={path.name: files.file_digest(path) for path in sorted(out.iterdir())},
    )
    files.write_json(out / raw.RECORD, record.model_dump(mode="json", exclude_defaults=True))
    said = [f"{_images(len(paths))} {note}: {_some(paths)}" for note, paths in notes.items()]
    return said + [f"warning: {line}" for line in _constant(tree, flat, looks)]


def _pack_some(images_file: Path, preparation: Preparation, places: Sequence[Place]) -> list[Packed | str]:
    """Decode images and write each at its place, after the header; what is told of each, or why it cannot be read."""
    found: list[Packed | str] = []
    with images_file.open("r+b") as stream:
        header = len(raw.idx_header((0, *preparation.shape)))
        for at, path in places:
            try:
                pixels, notes = read_image(path, preparation)
            except AssayError as error:
                found.append(str(error))
                continue
            stream.seek(header + at * pixels.nbytes)
            stream.write(pixels.data)
            flat = bool((pixels == pixels[:, :1, :1]).all())
            found.append(Packed(notes, hashlib.blake2b(pixels.data, digest_size=16).digest(), flat))
    return found


@contextmanager
def _workers(images: int) -> Iterator[Callable[..., Iterable[list[Packed | str]]]]:
    """A `map` that keeps the order, over processes where there are many images and several cores.

    Processes and not threads: decoding small images is mostly Python, and filters of warnings are a process's own. They
    are spawned, since a fork of a process with threads is not safe. The terminal's Ctrl-C is left to this process.

    Raises:
        AssayError: a process died.
    """
    count = min(runtime.threads(), images // TOGETHER)
    if images < MANY or count < 2:
        yield map
        return
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _stand_by)
    try:
        yield pool.map
    except BrokenProcessPool:
        said = "a process that decodes images died: an image may crash its decoder, or memory may be short"
        raise AssayError(f"{said}; ASSAY_THREADS=1 decodes them in this process") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _stand_by() -> None:
    """Set up a process that decodes: it ends with the one that started it, even if that is killed, and not before."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _table(tree: Tree) -> list[str]:
    """The number of images of each class and split, and what was passed over, by reason."""
    counts = {split: Counter(label for _, label in entries) for split, entries in tree.images.items()}
    rows = [[name, *(own[label] for own in counts.values())] for label, name in enumerate(tree.class_names)]
    rows = [["class", *counts], *rows, ["all", *tree.counts.values()]]
    width = max(len(str(row[0])) for row in rows)
    lines = [f"  {row[0]:{width}}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows]
    passed = [f"{len(paths)} passed over ({why}): {_some(paths)}" for why, paths in sorted(tree.passed_over.items())]
    return ["images by class and split", *lines, *passed]


def copies(tree: Tree, held_out: bool) -> list[str]:
    """Warnings for images that stand in two splits or classes, or may come to (`held_out`), byte for byte."""
    lines = []
    once = {tree.digests[path]: path for path, _ in reversed(tree.images["train"])}
    again = [f"{path} of {once[own]}" for path, _ in tree.images["train"] if once[own := tree.digests[path]] != path]
    if held_out and again:
        may = "one may be trained on and the other held out; remove them, or give both the same group in labels.csv"
        lines.append(f"warning: {_images(len(again))} of train stand there twice, byte for byte: {_some(again)}; {may}")
    for one, other in combinations(tree.images, 2):
        first = {tree.digests[path]: path for path, _ in reversed(tree.images[one])}
        same = [(path, first[own]) for path, _ in tree.images[other] if (own := tree.digests[path]) in first]
        if same:
            copies = _some([f"{path} of {original}" for path, original in same])
            said = f"{len(same)} stand in {one} too, byte for byte: {copies}"
            lines.append(f"warning: of the {len(tree.images[other])} {other} images, {said}")
    by_digest: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for path, label in (entry for entries in tree.images.values() for entry in entries):
        by_digest[tree.digests[path]].setdefault(label, path)
    several = [" and ".join(paths.values()) for paths in by_digest.values() if len(paths) > 1]
    if several:
        lines.append(f"warning: {_images(len(several))} under more than one class, byte for byte: {_some(several)}")
    return lines


def _constant(tree: Tree, flat: set[str], looks: dict[tuple[str, int], dict[str, bytes]]) -> list[str]:
    """What is of a single colour, or always the same: the data set, classes of a split, or images."""
    every = sum(tree.counts.values())
    if len({look for own in looks.values() for look in own.values()}) == 1:
        return [f"all {every} images are the same at this side"]
    if len(flat) == every:
        return [f"each of the {every} images is of a single colour"]
    lines, rest = [], set(flat)
    for (split, label), own in looks.items():
        of_class = f"{len(own)} {split} images of class {tree.class_names[label]}"
        if len(own) > 1 and own.keys() <= flat:
            lines.append(f"each of the {of_class} is of a single colour")
            rest -= own.keys()
        elif len(own) > 1 and len(set(own.values())) == 1:
            lines.append(f"the {of_class} are all the same at this side")
    return lines + ([f"{_images(len(rest))} of a single colour: {_some(sorted(rest))}"] if rest else [])


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"


def _some(items: list[str]) -> str:
    return ", ".join(items[:_EXAMPLES]) + ", ..." * (len(items) > _EXAMPLES)
