"""What commands and ranks import or make once: all of them are forked from a process that did."""

from __future__ import annotations

import gc

import pytest  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch._dynamo  # as an optimizer does that is made
import torch.distributed.device_mesh  # noqa: F401  # as ranks do that meet

import associated_learning.cli.main
import associated_learning.training.ranks  # noqa: F401
import reproduction.campaign.worker  # noqa: F401
from associated_learning.tensors.randomness.thread_rng import thread_seeded

with thread_seeded(0):  # which makes what it draws by
    pass

# a process that is forked from this one neither looks through all this for garbage nor copies it
gc.collect()
gc.freeze()
gc.set_threshold(10_000, 20, 50)  # as in `conftest`
