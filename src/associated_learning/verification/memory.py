"""Memory: the peak of one call, such as a training step, and what the allocator keeps."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ["keep_freed_memory", "peak_memory", "return_freed_memory"]

# From glibc's malloc.h; 32 MiB is the largest that glibc takes for the second. One arena, because
# an arena of another thread than the main one gives its memory back whatever the threshold.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEEP = {_M_TRIM_THRESHOLD: 2**31 - 1, _M_MMAP_THRESHOLD: 2**25, _M_ARENA_MAX: 1}
_RETURN = {_M_TRIM_THRESHOLD: 2**17, _M_MMAP_THRESHOLD: 2**18, _M_ARENA_MAX: 1}

_CPU = 0  # the number of the CPU among torch's device types


def peak_memory(function: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """Return the most bytes that ``function()`` holds at once beyond what was live before it.

    Counted are the bytes that torch allocates for tensors and for the temporaries of its
    kernels, so the figure is exact and the same in every run (on the CPU up to buffers whose
    size depends on the number of threads). The resident set size of the process is not used:
    it depends on what the allocator has kept from before.

    On the CPU the allocations of the calling thread are traced (backward runs there too);
    memory that was live before the call and is freed in it is not taken off. On CUDA torch's
    own counters are read, which count all threads and do take it off.

    Args:
        function: Called once. Call it before, or a like function, so that what is made only
            once (the state of an optimizer) already exists.
        device: Whose memory to measure.

    Example:
        >>> import torch
        >>> peak_memory(lambda: torch.zeros(1000).sum())
        4004
    """
    device = torch.device(device)
    return _peak_on_cuda(function, device) if device.type == "cuda" else _peak_on_cpu(function)


def keep_freed_memory() -> bool:
    """Let this process keep freed memory for the next tensor, on Linux with glibc.

    By default glibc hands large blocks back to the kernel as soon as they are free, and gets
    them again, page by page, for the next tensor of that size. Training frees and takes the same
    memory in every step, layer-by-layer training more often than backpropagation; without the
    page faults both are faster (`benchmarks/step`). Holds for the whole process, to its end; the
    command line calls it for training.

    Returns:
        Whether the allocator took it; False where it is not glibc's.
    """
    return _told_to_allocator(_KEEP)


def return_freed_memory() -> bool:
    """Let this process give freed memory back at once, on Linux with glibc.

    By default glibc raises the size from which on memory is given back whenever such a block is
    freed, up to 32 MiB; below it, holes between blocks stay with the process. Where layers come
    and go and a limit is near (the executor "offload"), those holes are what it breaks at.

    Returns:
        Whether the allocator took it; False where it is not glibc's.
    """
    return _told_to_allocator(_RETURN)


def _told_to_allocator(options: Mapping[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*o) for o in options.items())


def _peak_on_cuda(function: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    function()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _peak_on_cpu(function: Callable[[], object]) -> int:
    trace = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
    with _native_stderr_closed():
        trace.start()
    try:
        function()
    finally:
        with _native_stderr_closed():
            trace.stop()
    live: dict[int, int] = {}
    held = peak = 0
    for event in _memory_events(trace):
        if event.size > 0:
            live[event.address] = event.size
            held += event.size
        else:
            # what was live before the call has no entry: freeing it must not lower the count
            held -= live.pop(event.address, 0)
        peak = max(peak, held)
    return peak


@contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Keep the lines that the profiler's C++ side writes at start and stop off the screen."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class _MemoryEvent(NamedTuple):
    address: int
    size: int  # in bytes; negative where memory is freed


def _memory_events(trace: profile) -> Iterator[_MemoryEvent]:
    """Read every allocation and release on the CPU from the exported trace, in order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        trace.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    found = [event["args"] for event in events if event.get("name") == "[memory]"]
    # by number, not by time: two events may carry the same microsecond
    for args in sorted(found, key=lambda args: int(args["Ev Idx"])):
        if args["Device Type"] == _CPU:
            yield _MemoryEvent(args["Addr"], args["Bytes"])
