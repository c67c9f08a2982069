"""Where a step of five ResNet-20s and of five Conv-2s spends its time: `python -m benchmarks.gpu.profile [STEPS]`.

Writes profile.json: for each network and precision milliseconds a step, images a second, memory, and the kernels that
take the longest. On a CPU the operators take the place of kernels.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from assay.core import files, runtime
from benchmarks.engine import seconds_a_step
from benchmarks.rivals import CASES, Precision, data_of, stack_step

COPIES, SHOWN = 5, 15


def profiled(name: str, precision: Precision, device: torch.device, steps: int) -> dict[str, Any]:
    """A stack's training steps, timed and then profiled."""
    on_gpu = device.type == "cuda"
    step = stack_step(name, COPIES, data_of(CASES[name], device), precision=precision)
    seconds_a_step(step, max(1, steps // 2))
    seconds = seconds_a_step(step, steps)
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as found:
        seconds_a_step(step, steps)
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    longest = sorted(found.key_averages(), key=lambda one: -getattr(one, key))[:SHOWN]
    return {
        "milliseconds a step": round(1e3 * seconds, 3),
        "images a second": round(COPIES * CASES[name].batch / seconds),
        "peak memory, MiB": torch.cuda.max_memory_allocated() // 2**20 if on_gpu else None,
        "kernels": [
            {"name": one.key, "calls a step": one.count / steps, "ms a step": round(getattr(one, key) / steps / 1e3, 4)}
            for one in longest
        ],
    }


def main(steps: int = 20) -> None:
    """Profile, and write profile.json where this is run."""
    device = runtime.set_up()
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    networks = {
        name: {precision: profiled(name, precision, device, steps) for precision in precisions}
        for name in ("resnet_20", "conv_2")
    }
    about = {"device": torch.cuda.get_device_name() if device.type == "cuda" else runtime.processor()}
    about |= {"torch": str(torch.__version__), "copies": str(COPIES)}
    files.write_json(Path("profile.json"), {**about, "networks": networks})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
