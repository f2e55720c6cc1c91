"""Branches: variants of one layer that train together on a shared trunk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from associated_learning.errors import InputError, nearest
from associated_learning.inference.parameters import count_parameters
from associated_learning.layer import ALLayer, Branch
from associated_learning.network import ALNetwork, Network
from associated_learning.state.training_state import TrainingState
from associated_learning.tensors.chain import encodings

__all__ = ["BranchedNetwork", "Ranked"]


class Ranked(NamedTuple):
    """How a variant did in the epoch whose weights were kept.

    Attributes:
        name: Its name.
        score: Validation score of the network with it on top.
        parameters: Of that network, for inference.
    """

    name: str
    score: float
    parameters: int


class BranchedNetwork(Network):
    """Variants of layer k on one trunk of k - 1 layers: a sweep for the price of one trunk.

    Each variant sees what the trunk gives, trains by its own losses with its own optimizer, and
    hands on nothing; the trunk trains as if there were none of them, to the bit, and so does each
    variant as if it were alone. Give optimizers, learning rates or schedules as lists: one for each
    layer of the trunk, then one for each variant. A variant can be a stage of a pipeline.

    Its depths are those of the trunk, then one for each variant. The best epoch is that in which
    the best variant is best.

    Args:
        trunk: The layers below. They are shared, and train.
        variants: A layer for each name; all take ``s`` and ``t`` of the trunk's top.

    Raises:
        InputError: No variant came, a name is no plain word, or variants share weights.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x, y = torch.randn(64, 4), torch.arange(64) % 2
        >>> trunk = al.al_form([nn.Linear(4, 8)], x, al.Classes(2), latent=5)
        >>> def top(width):
        ...     f, b = nn.Linear(8, width), nn.Linear(width, 5)
        ...     return al.ALLayer(f=f, b=b, g=nn.Linear(5, 5), h=nn.Linear(5, 5))
        >>> net = al.BranchedNetwork(trunk, {"narrow": top(4), "wide": top(16)})
        >>> batches = al.LoaderBatches([(x, y)])
        >>> state = al.Trainer(epochs=2, lr=[1e-3, 1e-3, 1e-2]).fit(net, batches, batches)
        >>> best = net.rank(state)[0]
        >>> net.keep(best.name).num_layers
        2
    """

    def __init__(self, trunk: ALNetwork, variants: Mapping[str, ALLayer]) -> None:
        super().__init__()
        for name in variants:
            if not re.fullmatch(r"[\w-]+", name):
                raise InputError(
                    f"a variant named {name!r} came; expected letters, digits, _ and -, because "
                    "its weights are saved under that name."
                )
        if not variants:
            raise InputError("no variant came; expected at least one layer to put on the trunk.")
        ALNetwork([*trunk.al_layers(), *variants.values()], trunk.target)  # they share no weights
        self.trunk = trunk
        self.variants = nn.ModuleDict(variants)
        self.target = trunk.target

    @property
    def num_layers(self) -> int:
        return self.trunk.num_layers + len(self.variants)

    def blocks(self) -> list[nn.Module]:
        below = self.trunk.blocks()
        return [*below, *(Branch(layer, len(below) + 1) for layer in self._layers().values())]

    def parts(self) -> dict[str, nn.Module]:
        own = {f"branch-{name}": layer for name, layer in self.variants.items()}
        return {**self.trunk.parts(), **own}

    def exits(self, x: Any) -> Iterator[Tensor]:
        s, layers = x, self.trunk.al_layers()
        pairs = zip(layers, encodings(self.trunk.encoders(), x), strict=True)
        for depth, (layer, s) in enumerate(pairs, start=1):
            yield self.trunk.decode(layer.bridge(s), depth)
        for layer in self._layers().values():
            t: Tensor = layer.h(layer.bridge(layer.f(s)))
            yield self.trunk.decode(t, self.trunk.num_layers)

    def forward(self, x: Any, depth: int | None = None) -> Tensor:
        """Answer through a depth of the trunk, or through a variant: ``[B, target.size]``."""
        model: Tensor = self._through(self.check_depth(depth))(x)
        return model

    def inference_modules(self, depth: int) -> list[nn.Module]:
        whole = self._through(self.check_depth(depth))
        return whole.inference_modules(whole.num_layers)

    def judged(self, scores: list[float]) -> float:
        return max(scores[self.trunk.num_layers :])

    def candidates(self, scores: list[float]) -> dict[int, float]:
        return {len(scores): self.judged(scores)}

    def rank(self, state: TrainingState) -> list[Ranked]:
        """Return all variants, the best first, in the epoch whose weights they have.

        Args:
            state: What `Trainer.fit` returned.

        Raises:
            InputError: Training had no validation data.
        """
        if not state.best_epoch:
            raise InputError("training without validation data came; it ranks no variants.")
        scores = state.records[state.best_epoch - 1].scores[self.trunk.num_layers :]
        ranked = [
            Ranked(name, score, count_parameters(self.keep(name)).inference[-1])
            for name, score in zip(self.variants, scores, strict=True)
        ]
        return sorted(ranked, key=lambda one: (-one.score, one.parameters))

    def keep(self, name: str) -> ALNetwork:
        """Return the trunk with one variant on top, which share their weights with this network.

        Raises:
            InputError: There is no such variant.
        """
        if name not in self.variants:
            known = list(self.variants)
            raise InputError(
                f"there is no variant {name!r}; expected one of {', '.join(known)}."
                f"{nearest(name, known)}"
            )
        return ALNetwork([*self.trunk.al_layers(), self._layers()[name]], self.target)

    def _layers(self) -> dict[str, ALLayer]:
        return dict(self.variants.items())  # type: ignore[arg-type]

    def _through(self, depth: int) -> ALNetwork:
        count = self.trunk.num_layers
        if depth > count:
            return self.keep(list(self.variants)[depth - count - 1])
        return ALNetwork(self.trunk.al_layers()[:depth], self.target)
