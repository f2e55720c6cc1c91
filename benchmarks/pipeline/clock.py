"""How long each block of an AL network is being updated, whichever executor does it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

__all__ = ["BlockClock"]


class BlockClock:
    """Counts from a block's call to the end of its optimizer's step, in every thread.

    It looks from outside, by torch's hooks, so that no executor is timed by its own account.

    Attributes:
        wall: Seconds of each block.
        cpu: Processor seconds of each block's thread, without what it waited.
    """

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        self.wall = [0.0] * len(blocks)
        self.cpu = [0.0] * len(blocks)
        self._blocks = blocks
        self._begun = threading.local()
        self._hooks = ExitStack()

    def __enter__(self) -> BlockClock:
        for i, block in enumerate(self._blocks):
            hook = block.register_forward_pre_hook(partial(self._begin, i))
            self._hooks.callback(hook.remove)
        self._hooks.callback(register_optimizer_step_post_hook(self._end).remove)
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.close()

    def __deepcopy__(self, memo: object) -> BlockClock:
        return self  # an executor may copy the network with its hooks, to evaluate the copy

    def _begin(self, i: int, *call: Any) -> None:
        self._begun.now = (i, time.perf_counter(), time.thread_time())

    def _end(self, *call: Any) -> None:
        i, wall, cpu = self._begun.now
        self.wall[i] += time.perf_counter() - wall
        self.cpu[i] += time.thread_time() - cpu
