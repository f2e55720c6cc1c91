"""What commands and ranks import or make once: all of them are forked from a process that did."""

from __future__ import annotations

import gc

gc.disable()  # nothing that is imported here is garbage

import pytest  # noqa: E402, F401
import sklearn.datasets  # noqa: E402, F401
import torch._dynamo  # noqa: E402  # as an optimizer does that is made
import torch.distributed.device_mesh  # noqa: E402, F401  # as ranks do that meet

import associated_learning.cli.main  # noqa: E402
import associated_learning.training.ranks  # noqa: E402, F401
import reproduction.campaign.worker  # noqa: E402, F401
from associated_learning.tensors.randomness.thread_rng import thread_seeded  # noqa: E402

with thread_seeded(0):  # which makes what it draws by
    pass

# a process that is forked from this one neither looks through all this for garbage nor copies it
gc.collect()
gc.freeze()
gc.enable()
gc.set_threshold(10_000, 20, 50)  # as in `conftest`
