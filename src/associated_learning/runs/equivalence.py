"""The proof of the exact pipeline on the network and data of a run's settings."""

from __future__ import annotations

import torch

from associated_learning.errors import InputError
from associated_learning.runs.config import RunConfig
from associated_learning.runs.families import build_network, resolved
from associated_learning.runs.hub.network import find_backbone
from associated_learning.runs.inputs import (
    input_spec,
    load_data,
    load_word_vectors,
    training_batches,
)
from associated_learning.runs.trainer_settings import choose_device, make_trainer
from associated_learning.verification.equivalence import Equivalence, verify_pipeline

__all__ = ["verify_run"]


def verify_run(config: RunConfig, *, steps: int) -> Equivalence | None:
    """Train the network of these settings by their executor and in one process, and compare.

    Args:
        config: The settings.
        steps: Number of weight updates.

    Returns:
        The comparison; None on the ranks of a pipeline of processes other than rank 0.

    Raises:
        InputError: A setting does not fit.
        VerificationError: Some bits differ.
    """
    if config.grow_from is not None:
        raise InputError("--grow-from came; layers are compared as a whole network. Leave it out.")
    config = resolved(config)
    data = load_data(config)
    vectors = load_word_vectors(config, data)
    spec = input_spec(config, data, vectors)
    backbone = None
    if config.family == "hf":
        some = torch.arange(min(len(data.train), 8))
        backbone = find_backbone(config, spec, data.train.take(some))
    weights = None if vectors is None else vectors.weights
    net = build_network(config, spec, weights, backbone=backbone)
    net = net.to(choose_device(config.device))
    train = training_batches(config, data)
    trainer = make_trainer(config, len(train), net)
    return verify_pipeline(net, train, trainer, steps=steps)
