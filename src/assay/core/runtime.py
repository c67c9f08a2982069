"""Where a process runs, decided once: device, threads, determinism, and the source of all randomness.

None of this is a parameter: it may change how fast a result comes, not what was asked for. PyTorch takes two seconds to
load, so only what needs it loads it.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

MOST = 4096  # threads or jobs
IMAGE_SHARE = 0.5  # of the free memory, for images


def check() -> None:
    """Check the environment variables that decide where and how a run goes.

    Raises:
        AssayError: one of them has a value that cannot be had; a line each.
    """
    lines = []
    other = os.environ.get("ASSAY_DEVICE", "cpu") not in ("", "cpu")  # to ask for another takes PyTorch
    for ask in (threads, jobs, checkpoint_seconds, image_share, *([device] if other else [])):
        try:
            ask()
        except AssayError as error:
            lines.append(str(error))
    if lines:
        raise AssayError("\n".join(lines))


def set_up() -> torch.device:
    """Choose the device, fix the thread count, ask for deterministic kernels; call it once, first thing in a stage.

    The thread count changes the last bits of the weights, so it is set here and nowhere else.

    Raises:
        AssayError: the device or the thread count cannot be had.
    """
    import torch
    from torch.utils import deterministic

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    chosen = device()
    # glibc may give freed gradients back to the system at every step and fault them in anew: 1,100 page faults a step
    # made one of five LeNets 8.7 instead of 6.0 ms, in some processes and not in others
    with suppress(OSError, AttributeError):  # another C library has its own ways
        for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            ctypes.CDLL(None).mallopt(option, 2**30)
    torch.set_num_threads(threads())
    torch.set_flush_denormal(True)  # moments of dead units decay into numbers that a CPU adds a hundred times slower
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports the compiler: 1.4 s a stage
    # by default it writes all fresh memory twice, to no end but debugging
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32: 10 bits of mantissa are asked for by name
    return chosen


def device() -> torch.device:
    """The device that `device_name` names, tried out.

    Raises:
        AssayError: this machine does not have it, or it holds no numbers (PyTorch's device `meta`).
    """
    import torch

    name = device_name()
    try:
        found = torch.device(name)
        torch.zeros(1, device=found).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise AssayError(f"ASSAY_DEVICE={name}: {reason}; name a device of this machine, such as cpu or cuda") from None
    return found


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16; one that has none emulates it, slower than float32."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return any(there for name, there in torch.cpu.get_capabilities().items() if "bf16" in name)


def threads() -> int:
    """The CPU threads to use: `ASSAY_THREADS`, or the cores that this process may use."""
    return _count("ASSAY_THREADS", "threads") or len(os.sched_getaffinity(0))


def beside() -> int:
    """Number of stages running concurrently, including this one; needed to interpret timings."""
    return _count("ASSAY_BESIDE", "stages") or 1


def processor() -> str:
    """The CPU's model name as the system reports it, else its architecture."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _count(variable: str, what: str) -> int | None:
    text = os.environ.get(variable)
    if text and not (text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= MOST):
        raise AssayError(f"{variable}={text}: give a whole number of {what}, from 1 to {MOST}")
    return int(text) if text else None


def jobs() -> int | None:
    """How many stages may run at a time, if `ASSAY_JOBS` says it."""
    return _count("ASSAY_JOBS", "jobs")


def checkpoint_seconds() -> float:
    """Seconds between two checkpoints: `ASSAY_CHECKPOINT_SECONDS`, 30 unless given; 0 saves at every step.

    Raises:
        AssayError: it is not a number, or less than 0.
    """
    text = os.environ.get("ASSAY_CHECKPOINT_SECONDS") or "30"
    with suppress(ValueError):
        if (seconds := float(text)) >= 0:
            return seconds
    raise AssayError(f"ASSAY_CHECKPOINT_SECONDS={text}: give a number of seconds; 0 saves at every step")


def image_share() -> float:
    """The share of the device's free memory that images may take: `ASSAY_IMAGE_MEMORY`, a half unless given.

    Raises:
        AssayError: it is not a number from 0 to 1.
    """
    text = os.environ.get("ASSAY_IMAGE_MEMORY") or str(IMAGE_SHARE)
    with suppress(ValueError):
        if 0 <= (share := float(text)) <= 1:
            return share
    raise AssayError(f"ASSAY_IMAGE_MEMORY={text}: give a share of the device's free memory, from 0 to 1")


def image_memory(device: torch.device) -> int:
    """The bytes that images may take on a device, by `image_share`; on a CPU, of the memory that is available."""
    import torch

    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return int(image_share() * free)


def device_name() -> str:
    """Where to run: `ASSAY_DEVICE`, or CUDA where there is one, or the CPU."""
    if named := os.environ.get("ASSAY_DEVICE"):
        return named
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def key(seed: int, purpose: str, index: int = 0) -> int:
    """A 63-bit number that depends on all three arguments and on nothing else.

    All randomness comes from such keys, so no generator's state has to survive a kill, and a copy draws the same
    numbers whether it trains alone or in a stack. PyTorch's CPU generator keeps the low 32 bits of a seed, so two of n
    keys seed it alike with a chance of about n² / 2³³: 1 % for 10,000 keys.
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """A CPU generator seeded with `key(seed, purpose, index)`, of which `manual_seed` keeps the low 32 bits."""
    import torch

    return torch.Generator().manual_seed(key(seed, purpose, index))


@contextmanager
def global_generator(seed: int, purpose: str, index: int = 0) -> Iterator[None]:
    """Inside, PyTorch's global CPU generator is seeded as `generator` is, for libraries that draw from no other.

    Outside it stays as it was.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key(seed, purpose, index))
        yield
