"""How fast a store is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from associated_learning.state.tensor_file import read_header, read_tensor, write_tensors

__all__ = ["StoreSpeed", "measure_store"]

_PROBE = 2**26  # bytes


class StoreSpeed(NamedTuple):
    """What it takes to move a byte.

    Attributes:
        write: Seconds a byte, until it is on the disk.
        read: Seconds a byte.
        processor: Seconds of a processor for a byte that is written and read, of these.
    """

    write: float
    read: float
    processor: float


def measure_store(folder: Path | None, device: torch.device) -> StoreSpeed:
    """Measure how fast a store in a folder is, or host memory where there is none."""
    if folder is None and device.type == "cpu":
        return StoreSpeed(0.0, 0.0, 0.0)  # memory is handed over
    if folder is None:
        return _measure_copies(device)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".new-probe"
    path.unlink(missing_ok=True)
    tensors: Mapping[str, Tensor] = {"probe": torch.ones(_PROBE // 4, device="cpu")}
    try:
        (write, busy_writing), (read, busy_reading) = (
            _timed(lambda: write_tensors(path, tensors)),
            _timed(lambda: read_tensor(path, read_header(path)["probe"])),
        )
    finally:
        path.unlink(missing_ok=True)
    return StoreSpeed(write / _PROBE, read / _PROBE, (busy_writing + busy_reading) / _PROBE)


def _measure_copies(device: torch.device) -> StoreSpeed:
    """Measure copies between a GPU and pinned memory, which take no processor's time."""
    host = torch.empty(_PROBE, dtype=torch.uint8, device="cpu", pin_memory=True)
    there = host.to(device)
    torch.cuda.synchronize(device)

    def copied(to: Tensor, source: Tensor) -> None:
        to.copy_(source)
        torch.cuda.synchronize(device)

    write, _ = _timed(lambda: copied(host, there))
    read, _ = _timed(lambda: copied(there, host))
    return StoreSpeed(write / _PROBE, read / _PROBE, 0.0)


def _timed(function: Any) -> tuple[float, float]:
    """Return seconds, and seconds that this thread computed."""
    begin, busy = time.perf_counter(), time.thread_time()
    function()
    return time.perf_counter() - begin, time.thread_time() - busy
