"""Where the activations of a window wait for the next layer."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from associated_learning.errors import CheckpointError
from associated_learning.pipeline.items import Minibatch
from associated_learning.state.files import TEMPORARY
from associated_learning.tensors.nested import map_tensors, tensors_in, to_device
from associated_learning.tensors.strides import with_strides

__all__ = ["Kept", "Waiting", "as_it_was"]


class Kept(NamedTuple):
    """A minibatch that waits.

    Attributes:
        job: As it waits.
        rounded: Which tensors of its s were float32 and are not now, depth first.
    """

    job: Minibatch
    rounded: tuple[bool, ...]


class Waiting:
    """Keeps minibatches between two layers: in host memory, or in files that are mapped to it.

    On a GPU they are copied to pinned host memory and back on a stream of their own, in the order
    in which they are asked for, while layers train.

    Args:
        device: Where layers train.
        folder: Where the files are made, without names, so that nothing is left of them; None for
            host memory.
        dtype: ``torch.bfloat16`` halves s of float32 and rounds it: no longer exact to the bit.
            None leaves it as it is.

    Example:
        >>> import torch
        >>> waiting = Waiting()
        >>> job = Minibatch(0, torch.zeros(2, 3), torch.zeros(2, 4))
        >>> [back.s.shape for back in waiting.coming([waiting.put(job)])]
        [torch.Size([2, 3])]
    """

    def __init__(
        self,
        device: torch.device | None = None,
        folder: Path | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._device = torch.device("cpu") if device is None else device
        self._folder = folder
        self._dtype = dtype
        cuda = self._device.type == "cuda"
        self._stream = torch.cuda.Stream(self._device) if cuda else None  # type: ignore[no-untyped-call]

    def put(self, job: Minibatch, *, exact: bool = False) -> Kept:
        """Return a minibatch as it waits.

        Args:
            job: The minibatch.
            exact: Whether it is never rounded, as the inputs of the network are not.

        Raises:
            CheckpointError: The disk has no room for it.
        """
        dtype = None if exact else self._dtype
        rounded = tuple(bool(dtype) and t.dtype is torch.float32 for t in tensors_in(job.s))
        narrow = iter(rounded)

        def keep(tensor: Tensor) -> Tensor:
            return self._kept(tensor.to(dtype) if next(narrow) else tensor)

        s, t = map_tensors(keep, job.s), map_tensors(self._kept, job.t)
        return Kept(job._replace(s=s, t=t), rounded)

    def coming(self, kept: Sequence[Kept]) -> Iterator[Minibatch]:
        """Yield minibatches as they were; on a GPU each is copied while the last one trains."""
        if self._stream is None:
            yield from map(as_it_was, kept)
            return
        sent = map(self._sent, kept)
        following = next(sent, None)
        while following is not None:
            job, following = following, next(sent, None)
            yield self._arrived(*job)

    def _sent(self, kept: Kept) -> tuple[Minibatch, torch.cuda.Event]:
        with self._beside() as stream:
            job = as_it_was(kept)
            s, t = to_device((job.s, job.t), self._device)
            return job._replace(s=s, t=t), stream.record_event()

    def _arrived(self, job: Minibatch, ready: torch.cuda.Event) -> Minibatch:
        torch.cuda.current_stream(self._device).wait_event(ready)
        return job

    def _kept(self, tensor: Tensor) -> Tensor:
        if self._folder is not None:
            return _mapped(tensor, self._folder)
        if not tensor.is_cuda:
            return tensor
        done = torch.cuda.current_stream(self._device).record_event()
        with self._beside() as stream:
            stream.wait_event(done)
            tensor.record_stream(stream)
            pinned = partial(torch.empty, dtype=tensor.dtype, device="cpu", pin_memory=True)
            return with_strides(tensor, tensor.stride(), pinned)

    @contextlib.contextmanager
    def _beside(self) -> Iterator[torch.cuda.Stream]:
        assert self._stream is not None
        with torch.cuda.stream(self._stream):
            yield self._stream


def as_it_was(kept: Kept) -> Minibatch:
    """Return a minibatch in the types that it had before it waited."""
    job, wide = kept.job, iter(kept.rounded)
    if not any(kept.rounded):
        return job
    return job._replace(s=map_tensors(lambda t: t.float() if next(wide) else t, job.s))


def _mapped(tensor: Tensor, folder: Path) -> Tensor:
    """Copy a tensor into a file that is mapped to memory and has no name any more."""
    if tensor.numel() == 0:
        return tensor.cpu()
    mapped = partial(_mapped_file, dtype=tensor.dtype, folder=folder)
    return with_strides(tensor, tensor.stride(), mapped)


def _mapped_file(count: int, *, dtype: torch.dtype, folder: Path) -> Tensor:
    """Return memory for so many numbers, that of a file without a name."""
    try:
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=TEMPORARY)
        try:
            # with room for all of it: else a full disk would end the process when it is written
            os.posix_fallocate(descriptor, 0, count * dtype.itemsize)
            return torch.from_file(name, shared=True, size=count, dtype=dtype)
        finally:
            os.close(descriptor)
            Path(name).unlink()
    except OSError as error:
        raise CheckpointError(
            f"{folder} has no room for the activations of a window ({error}). Free disk space, "
            "take a smaller window, or let s wait as bfloat16."
        ) from error
