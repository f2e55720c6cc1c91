"""Which device each stage of one process is on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from associated_learning.pipeline.stage import Stage

__all__ = ["placed"]


@contextmanager
def placed(stages: Sequence[Stage]) -> Iterator[list[Stage]]:
    """Spread stages in order over all GPUs inside the block, if they are on a GPU.

    On a CPU, and with one GPU, they stay where they are.
    """
    count = torch.cuda.device_count() if stages[0].device.type == "cuda" else 1
    if count == 1:
        yield list(stages)
        return
    try:
        yield [
            _moved(stage, torch.device("cuda", i * count // len(stages)))
            for i, stage in enumerate(stages)
        ]
    finally:
        for stage in stages:
            _moved(stage, stage.device)


def _moved(stage: Stage, device: torch.device) -> Stage:
    for block in stage.blocks:
        block.to(device)
    for optimizer in stage.optimizers:
        if optimizer is not None:
            # which moves the state to where the parameters are now
            optimizer.load_state_dict(optimizer.state_dict())
    return replace(stage, device=device)
