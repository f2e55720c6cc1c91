"""One data set, model and seed, and the networks that compete there: same encoders, all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

import associated_learning as al
from associated_learning import models
from associated_learning.inference.exits.costs import depth_flops, full_flops
from associated_learning.inference.exits.goals import AccuracyGoal, tune
from associated_learning.inference.exits.record import record_exits
from associated_learning.runs.inputs import (
    RunInputs,
    evaluation_batches,
    read_inputs,
    training_batches,
)
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.settings.config import ResolvedConfig, RunConfig
from associated_learning.runs.settings.resolved import resolved

LOST = 0.002  # of accuracy on the validation data, which a cheaper answer may cost
PATIENCE = 3
SETTINGS: dict[str, dict[str, Any]] = {
    "fashion_mnist-mlp": {"limit_train": 10_000, "batch_size": 64, "validation_fraction": 0.04,
                          "hidden": 256, "num_layers": 6, "epochs": 60},
    "fashion_mnist-cnn": {"limit_train": 3000, "batch_size": 128, "validation_fraction": 0.04,
                          "epochs": 10},
    "ag_news-transformer": {"limit_train": 3000, "batch_size": 64, "validation_fraction": 0.03,
                            "epochs": 10},
}  # fmt: skip


class Trial:
    """One data set, model and seed.

    Args:
        name: A key of `SETTINGS`.
        seed: Of the weights and the order of samples.
        places: Where data and word vectors are.
    """

    def __init__(self, name: str, seed: int, places: dict[str, Any]) -> None:
        data, _, model = name.rpartition("-")
        vectors = places["vectors"] if model == "transformer" else None
        self.config: ResolvedConfig = resolved(
            RunConfig(
                data=data, model=model, method="al", seed=seed, threads=1,
                data_root=places["data_root"], vectors=vectors, **SETTINGS[name],
            )
        )  # fmt: skip
        self.inputs: RunInputs = read_inputs(self.config)
        self.x = self.inputs.data.test.take(torch.arange(256))
        self.whole = depth_flops(self._exits(), self.x).prefixes[-1]

    def contestants(self) -> dict[str, Callable[[], al.Network]]:
        """Return what makes each network that competes, by its name."""
        depth = self._exits().num_layers
        smaller = {f"bp {k}": partial(self._smaller, k) for k in range(1, depth + 1)}
        return {"deep supervision": self._supervised, **smaller, "al": self._exits}

    def _exits(self) -> al.ALNetwork:
        """Return an AL network that learned nothing yet."""
        return self._exits_of(self.config)

    def _supervised(self) -> al.ALNetwork:
        """Return a linear classifier at every depth, to be trained end to end by all of them."""
        return self._exits_of(replace(self.config, local_loss="ce", stop_gradients=False))

    def _exits_of(self, config: ResolvedConfig) -> al.ALNetwork:
        net = build_network(config, self.inputs.spec, self.inputs.weights)
        assert isinstance(net, al.ALNetwork)
        return net

    def _smaller(self, depth: int) -> al.BPNetwork:
        """Return the first encoders and their readout under a linear head, to be trained by BP."""
        net = self._exits()
        layers = net.al_layers()[:depth]
        bridge = next(one for one in layers[-1].b.modules() if isinstance(one, nn.Linear))
        head = nn.Linear(bridge.in_features, net.target.size)
        encoders = [layer.f for layer in layers]
        return al.BPNetwork(models.LayeredModel(encoders, layers[-1].readout, head), net.target)

    def figures(self, make: Callable[[], al.Network], rate: float) -> dict[str, Any]:
        """Train a fresh network with patience, and return what it comes to.

        ``validation`` and ``test`` are accuracies at every depth, ``operations`` those of a sample
        through each as a share of AL's full depth, ``early exit`` accuracy and operations on the
        test data by validation's thresholds.
        """
        net = make()
        data, config = self.inputs.data, self.config
        validation, test = (
            evaluation_batches(config, data, part) for part in ("validation", "test")
        )
        trainer = al.Trainer(
            epochs=config.epochs,
            lr=rate,
            patience=PATIENCE,
            seed=config.seed,
            clip=config.clip or None,
        )
        state = trainer.fit(net, training_batches(config, data), validation)
        splits = validation.epoch(0), test.epoch(0)
        if isinstance(net, al.ALNetwork):
            found = self._exits_judged(net, *splits)
        else:
            found = {
                "validation": al.evaluate(net, splits[0]).scores,
                "test": al.evaluate(net, splits[1]).scores,
                "operations": [full_flops(net, self.x) / self.whole],
            }
        return found | {"epochs": len(state.records), "best_epoch": state.best_epoch}

    def _exits_judged(self, net: al.ALNetwork, validation: Any, test: Any) -> dict[str, Any]:
        costs = depth_flops(net, self.x)
        known, asked = record_exits(net, validation), record_exits(net, test)
        early = asked.outcome(tune(known, AccuracyGoal(LOST), costs).policy, costs)
        share = costs.prefixes[-1] / self.whole
        return {
            "validation": known.correct().double().mean(1).tolist(),
            "test": asked.correct().double().mean(1).tolist(),
            "operations": [one / self.whole for one in costs.prefixes],
            "early exit": {"accuracy": early.accuracy, "operations": early.cost * share},
        }
