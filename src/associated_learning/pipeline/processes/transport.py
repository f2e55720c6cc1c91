"""Structures from one process to another, by messages of ``torch.distributed``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor

from associated_learning.errors import PipelineError
from associated_learning.pipeline.processes.serialization import (
    LARGEST_META,
    pack,
    reserve,
    unpack,
)

__all__ = ["Group", "abort", "receive", "send"]

Group: TypeAlias = dist.ProcessGroup | None

_HEAD = 4096  # bytes of the first message, into which the meta of a batch fits
_LENGTH = 8  # of these, how many say how long the meta is
_ABORT_TAG = 2**30  # of a message that never comes
# A stage may wait for hours for its next batch; others watch whether its neighbour lives.
_FOREVER = timedelta(days=365)


def send(
    structure: Any, dst: int, group: Group = None, *, bf16: bool = False, gpu: bool = False
) -> None:
    """Send a structure to another process; return when all of it is on its way.

    First comes a message with what the structure is and how its tensors look, then come their
    bytes, all at once. Only one thread at a time may send to the same process in a group.

    Args:
        structure: See `pack`.
        dst: Rank of the receiver.
        group: Whose connections to use; those of the default group if left out.
        bf16: Whether to round float32 on the way.
        gpu: Whether CUDA tensors go from GPU to GPU, by the group's backend for them (NCCL).

    Raises:
        PipelineError: The connection is lost.
    """
    parcel = pack(structure, bf16=bf16, gpu=gpu)
    messages = [*_heads(parcel.meta), *parcel.pieces]
    with _explained(dst):
        _wait([dist.isend(one, dst, group=group) for one in messages if len(one)])


def receive(src: int, group: Group = None, *, device: torch.device | str = "cuda") -> Any:
    """Wait for the next structure from another process.

    Args:
        src: Rank of the sender.
        group: The group in which it sends.
        device: Where tensors arrive that come from GPU to GPU.

    Raises:
        PipelineError: The connection is lost.
    """
    with _explained(src):
        meta = _receive_meta(src, group)
    parcel = reserve(meta, device)
    with _explained(src):
        _wait([dist.irecv(one, src, group=group) for one in parcel.pieces if len(one)])
    for piece in parcel.pieces:
        if piece.is_cuda:  # else it could be reused for the next one while layers still read it
            piece.record_stream(torch.cuda.default_stream(piece.device))
    return unpack(parcel)


def abort(group: Group = None) -> None:
    """Close this process's connections of a group; who waits for a message in it gets an error.

    Threads that wait inside torch cannot be ended otherwise, and gloo has no call for it: what
    `ProcessGroup.abort` and `destroy_process_group` do wakes nobody. But where a message is
    overdue, gloo takes the others for lost and closes all connections of the group. So one is
    awaited here that never comes.
    """
    whole = dist.group.WORLD if group is None else group
    assert whole is not None, "there is no default group"
    others = [rank for rank in dist.get_process_group_ranks(whole) if rank != dist.get_rank()]
    if others:
        with contextlib.suppress(RuntimeError):
            overdue = dist.irecv(torch.empty(1), others[0], group=group, tag=_ABORT_TAG)
            _wait([overdue], timedelta(milliseconds=1))
    if torch.cuda.is_available():
        with contextlib.suppress(RuntimeError, AttributeError):  # torch before 2.6 has no abort
            whole.abort()  # NCCL's part


def _heads(meta: bytes) -> Sequence[Tensor]:
    """Return the first message, always of the same size, and the rest of a long meta."""
    content = bytearray(len(meta).to_bytes(_LENGTH, "little") + meta).ljust(_HEAD, b"\0")
    flat = torch.frombuffer(content, dtype=torch.uint8)
    return flat[:_HEAD], flat[_HEAD:]


def _receive_meta(src: int, group: Group) -> bytes:
    head = _receive_bytes(_HEAD, src, group)
    end = _LENGTH + int.from_bytes(head[:_LENGTH], "little")
    if end > _LENGTH + LARGEST_META:
        raise PipelineError(
            f"rank {src} announced a header of {end} bytes; only processes of this library's "
            "version may take part in a run: see the page Security."
        )
    rest = _receive_bytes(end - _HEAD, src, group) if end > _HEAD else b""
    return (head + rest)[_LENGTH:end]


def _receive_bytes(count: int, src: int, group: Group) -> bytes:
    content = torch.empty(count, dtype=torch.uint8)
    _wait([dist.irecv(content, src, group=group)])
    return content.numpy().tobytes()


def _wait(works: Sequence[dist.Work | None], patience: timedelta = _FOREVER) -> None:
    for work in works:
        assert work is not None, "this process is not in the group"
        work.wait(patience)


@contextlib.contextmanager
def _explained(rank: int) -> Iterator[None]:
    """Name the process whose connection failed."""
    try:
        yield
    except PipelineError:
        raise
    except RuntimeError as error:
        reason = str(error).partition("] ")[2].partition(". ")[0] or str(error)
        raise PipelineError(
            f"the connection to rank {rank} is lost ({reason}): its process ended, or the "
            "network between failed. The log of that rank tells more."
        ) from error
