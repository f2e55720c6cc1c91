"""The proof of the exact pipeline on the network and data of a run's settings."""

from __future__ import annotations

from dataclasses import replace

from associated_learning.errors import InputError
from associated_learning.runs.inputs import read_inputs, training_batches
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.runs.tasks.deciding import decided
from associated_learning.runs.trainer import choose_device, make_trainer
from associated_learning.verification.equivalence import Equivalence, verify_pipeline

__all__ = ["verify_run"]


def verify_run(config: RunConfig, *, steps: int) -> Equivalence | None:
    """Train the network of these settings by their executor and in one process, and compare.

    Returns:
        The comparison; None on the ranks of a pipeline of processes other than rank 0.

    Raises:
        InputError: A setting does not fit.
        VerificationError: Some bits differ.
    """
    if config.grow_from is not None:
        raise InputError("--grow-from came; layers are compared as a whole network. Leave it out.")
    chosen = resolved(decided(config)[0])
    inputs = read_inputs(chosen)
    net = build_network(chosen, inputs.spec, inputs.weights, backbone=inputs.backbone)
    net = net.to(choose_device(chosen.device))
    train = training_batches(chosen, inputs.data)
    # no epoch is judged, so that nothing is measured
    trainer = replace(make_trainer(chosen, len(train), net), metric=None)
    return verify_pipeline(net, train, trainer, steps=steps)
