"""The one kind of error that a user is meant to read."""

from __future__ import annotations

import atexit
import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class AssayError(Exception):
    """Something that the user can mend: the message says what was wrong, where, and what to do, on one line each."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn an `AssayError` into its message on stderr and exit code 2; any other exception keeps its traceback.

    A GPU whose memory is full is the user's to mend as well. Whoever ends a command by Ctrl-C knows why it ended: one
    line, and the exit code that a shell gives it.
    """
    atexit.register(gc.freeze)  # else the last collection walks 200,000 objects of torch: a second for each stage
    try:
        yield
    except AssayError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except RuntimeError as error:
        full = _out_of_memory(error)
        if not full:
            raise
        said = ". ".join(str(full).split(". ")[:2])
        print(
            f"error: {said}; train fewer seeds, smaller batches or a smaller model, "
            "or fewer arms side by side (ASSAY_JOBS)",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: what is done is kept; run it again to go on", file=sys.stderr)
        sys.exit(130)


def _out_of_memory(error: BaseException | None) -> BaseException | None:
    """What PyTorch raises when memory is full, if this is it or comes of it; by name, as PyTorch may not be loaded."""
    while error and type(error).__name__ != "OutOfMemoryError":
        error = error.__context__
    return error
