"""The one kind of error that a user is meant to read."""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import inspect
import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ANEW = "delete it and run `dvc repro`"  # of what git holds: DVC has no copy that could be damaged too
ALLOW = "allow this user to read and write it"
SYSTEM = {  # errors of the file system that the user can mend: what is wrong, and what to do
    errno.ENOSPC: ("no space left on the device", "free some"),
    errno.EDQUOT: ("disk quota exceeded", "free some"),
    errno.EFBIG: ("file larger than this system allows", "raise the limit (`ulimit -f`)"),
    errno.EROFS: ("read-only file system", "make it writable"),
    errno.EACCES: ("no permission", ALLOW),
    errno.EPERM: ("operation not permitted", ALLOW),
    errno.EIO: ("the device cannot read or write", "check the disk"),
}


class AssayError(Exception):
    """Something that the user can mend: the message says what was wrong, where, and what to do, on one line each."""


def again(path: Path) -> str:
    """What to do about a damaged output of a stage: DVC restores without hashing, except what is writable."""
    drops = "which also drops damaged cached copies"
    return f'run `rm -r {path}; chmod -R u+w "$(dvc cache dir)/files"; dvc repro`, {drops}'


def system_error(error: BaseException | None) -> OSError | None:
    """The error of the file system that `error` is or comes of, if it is one that the user can mend.

    torch names such an error only as the context of its own, and safetensors only in words.
    """
    for one in _causes(error):
        if isinstance(one, OSError) and one.errno in SYSTEM:
            return one
        said = re.search(r"\(os error (\d+)\)", str(one))
        if said and (number := int(said[1])) in SYSTEM:
            return OSError(number, os.strerror(number))
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what the user can mend into a line on stderr and exit code 2; any other exception keeps its traceback.

    That is an `AssayError`, a full GPU, a full disk, a missing permission. Ctrl-C ends with a line and exit code 130.
    """
    atexit.register(gc.freeze)  # else the last collection walks 200,000 objects of torch: a second for each stage
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted: what is done is kept; run it again to go on", file=sys.stderr)
        sys.exit(130)
    except (AssayError, OSError, RuntimeError) as error:
        if isinstance(error, AssayError):
            said = str(error)
        elif failed := system_error(error):
            said = described(failed)
        else:  # by name, as PyTorch may not be loaded
            full = next((one for one in _causes(error) if type(one).__name__ == "OutOfMemoryError"), None)
            if full is None:
                raise
            remedy = "train fewer seeds, smaller batches or a smaller model, or fewer arms side by side (ASSAY_JOBS)"
            said = f"{'. '.join(str(full).split('. ')[:2])}; {remedy}"
        print(f"error: {said}", file=sys.stderr)
        sys.exit(2)


def start(main: Callable[..., object]) -> None:
    """Run a stage: `main` with an argument of the command line for each of its parameters."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    for name, parameter in inspect.signature(main).parameters.items():
        optional = parameter.default is not parameter.empty
        parser.add_argument(name, **({"nargs": "?", "default": parameter.default} if optional else {}))
    with one_line_errors():
        main(**vars(parser.parse_args()))


def described(error: OSError) -> str:
    """What failed in the file system, where, and what to do."""
    other = error.strerror or str(error), "put a readable and writable file or folder in its place"
    what, remedy = SYSTEM.get(error.errno or 0, other)
    path = error.filename2 or error.filename or "a file that the system does not name"
    return f"{what}: {path}; {remedy} and run it again: what is done is kept"
