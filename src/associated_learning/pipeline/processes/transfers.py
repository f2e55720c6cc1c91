"""Threads that join channels of two processes: one sends what the other receives."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

import torch

from associated_learning.pipeline.channel import Channel, Closed
from associated_learning.pipeline.items import End, Failure
from associated_learning.pipeline.processes.transport import Group, receive, send

__all__ = ["OnLost", "Receiver", "Sender"]

OnLost: TypeAlias = Callable[[BaseException], BaseException]


class _Transfer(threading.Thread):
    """Moves items between a channel and another process, up to `End` or `Failure`."""

    def __init__(
        self, name: str, channel: Channel[Any], device: torch.device | None, lost: OnLost | None
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._channel = channel
        self._device = device
        self._lost = lost
        # on the stream of the layers, these would wait for the copy
        self._stream = None if device is None else _new_stream(device)

    def run(self) -> None:
        try:
            while not isinstance(self._move(), (End, Failure)):
                pass
        except BaseException as error:
            self._channel.close(error if self._lost is None else self._lost(error))

    @abstractmethod
    def _move(self) -> Any:
        """Move one item, and return it."""


class Sender(_Transfer):
    """Sends what is put into a channel to another process, where a `Receiver` takes it.

    While one item travels, the stage works on the next. Tensors must not change once they are in
    the channel. To close the channel means `End` for the other side.

    Args:
        channel: Closed with a `PipelineError` when the connection is lost.
        dst: Rank of the receiver.
        group: A group in which no other thread sends to that rank.
        bf16: Whether to round float32 on the way; see `pack`.
        device: The GPU from which tensors go by NCCL; None if all go through the CPU.
        lost: Told of a failure; returns what to close the channel with. `FailureDetector.fail`
            returns what failed first, of which this may be a consequence.
    """

    def __init__(
        self,
        channel: Channel[Any],
        dst: int,
        group: Group = None,
        *,
        bf16: bool = False,
        device: torch.device | None = None,
        lost: OnLost | None = None,
    ) -> None:
        super().__init__(f"to rank {dst}", channel, device, lost)
        self._dst, self._group, self._bf16 = dst, group, bf16

    def _move(self) -> Any:
        try:
            item = self._channel.get()
        except Closed:
            item = End()
        with torch.cuda.stream(self._stream):
            if self._stream is not None:  # the item may still be being computed
                self._stream.wait_stream(torch.cuda.default_stream(self._device))
            gpu = self._device is not None
            send(item, self._dst, self._group, bf16=self._bf16, gpu=gpu)
        return item


class Receiver(_Transfer):
    """Puts what a `Sender` in another process sends into a channel.

    While the stage works on one item, the next is received; the one after it only once that has
    found room in the channel, so that a fast sender has to wait for a slow stage. When the channel
    is closed, what still comes is dropped, so that the sender gets to its end.

    Args:
        channel: Closed with a `PipelineError` when the connection is lost.
        src: Rank of the sender.
        group: The group in which it sends.
        device: The GPU to which tensors come by NCCL; None if all come through the CPU.
        lost: See `Sender`.
    """

    def __init__(
        self,
        channel: Channel[Any],
        src: int,
        group: Group = None,
        *,
        device: torch.device | None = None,
        lost: OnLost | None = None,
    ) -> None:
        super().__init__(f"from rank {src}", channel, device, lost)
        self._src, self._group = src, group

    def _move(self) -> Any:
        with torch.cuda.stream(self._stream):
            item = receive(self._src, self._group, device=self._device or "cuda")
        with suppress(Closed):
            self._channel.put(item)
        return item


def _new_stream(device: torch.device) -> torch.cuda.Stream:
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream
