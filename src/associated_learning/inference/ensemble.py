"""The exits of one network as an ensemble: answers by the mean of the last ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.inference.evaluation import evaluate
from associated_learning.layer import ALLayer
from associated_learning.network import ALNetwork, Network
from associated_learning.tensors.chain import encodings
from associated_learning.tensors.outputs import OutputReader, as_it_is

__all__ = ["ChosenEnsemble", "ExitEnsemble", "choose_ensemble"]


class ExitEnsemble(Network):
    r"""A network that answers at depth l by the mean of the exits up to l: same layers, no more.

    .. math::
        t'_0 = \frac{1}{n} \sum_{k=l-n+1}^{l} h_1(\ldots h_k(b_k(s_k)))

    Of classes it is the mean of the logits, whose softmax is that of the mean of the exits'
    log-probabilities, a product of experts (Hinton, 2002). Every encoder runs once; what it costs
    beside one exit are n - 1 bridges and their decoders. Nothing is trained for it.

    Args:
        net: An AL network; its layers are shared, not copied.
        num_exits: n, how many of the last exits count; all there are at smaller depths.

    Raises:
        InputError: The network has no exits to average, or not so many.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x = torch.randn(6, 4)
        >>> net = al.al_form([nn.Linear(4, 8), nn.Linear(8, 8)], x, al.Classes(3), latent=5)
        >>> both = al.ExitEnsemble(net, num_exits=2)
        >>> torch.allclose(both(x), (net(x, depth=1) + net(x, depth=2)) / 2)
        True
        >>> al.evaluate(both, [(x, torch.arange(6) % 3)]).num_samples
        6
    """

    def __init__(self, net: Network, num_exits: int) -> None:
        super().__init__()
        if not isinstance(net, ALNetwork):
            raise InputError(
                f"a {type(net).__name__} came, which answers at full depth only; expected an "
                "ALNetwork."
            )
        if not isinstance(num_exits, int) or not 1 <= num_exits <= net.num_layers:
            raise InputError(
                f"an ensemble of {num_exits} exits came for a network of {net.num_layers}; "
                f"expected 1 to {net.num_layers}."
            )
        self.net = net
        self.target = net.target
        self.num_exits = num_exits

    @property
    def num_layers(self) -> int:
        return self.net.num_layers

    def blocks(self) -> list[nn.Module]:
        return self.net.blocks()

    def parts(self) -> dict[str, nn.Module]:
        return self.net.parts()

    def exits(self, x: Any) -> Iterator[Tensor]:
        yield from _means(self.net.exits(x), self.num_exits)

    def exits_of(
        self, batches: Iterable[Any], read: OutputReader = as_it_is
    ) -> Iterator[Iterable[Any]]:
        for number, outputs in enumerate(self.net.exits_of(batches)):
            yield map(partial(read, number), count(1), _means(outputs, self.num_exits))

    def forward(self, x: Any, depth: int | None = None) -> Tensor:
        """Return the mean of the outputs up to a depth, ``[B, *P, target.size]``."""
        output: Tensor = self.prefix(self.check_depth(depth))(x)
        return output

    def inference_modules(self, depth: int) -> list[nn.Module]:
        return [self.prefix(depth)]

    def prefix(self, depth: int) -> MeanPrefix:
        """Return the stand-alone inference module of the first ``depth`` layers."""
        return MeanPrefix(self.net.al_layers()[: self.check_depth(depth)], self.num_exits)


class MeanPrefix(nn.Module):
    """The first layers as a model that answers by the mean of its last exits.

    No g is held, and no bridge of an exit that does not count.
    """

    def __init__(self, layers: Sequence[ALLayer], count: int) -> None:
        super().__init__()
        self.f = nn.ModuleList(layer.f for layer in layers)
        self.readout = nn.ModuleList(layer.readout for layer in layers[-count:])
        self.b = nn.ModuleList(layer.b for layer in layers[-count:])
        self.h = nn.ModuleList(layer.h for layer in layers)

    def forward(self, x: Any) -> Tensor:
        """Return the mean output, ``[B, *P, target.size]``."""
        first, outputs = len(self.f) - len(self.b), []
        for k, s in enumerate(encodings(self.f, x)):
            if k >= first:
                t = self.b[k - first](self.readout[k - first](s))
                for j in range(k, -1, -1):
                    t = self.h[j](t)
                outputs.append(t)
        return _mean(outputs)


def _means(outputs: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    last = deque[Tensor](maxlen=count)
    for output in outputs:
        last.append(output)
        yield _mean(last)


def _mean(outputs: Collection[Tensor]) -> Tensor:
    first, *others = outputs
    return sum(others, first) / len(outputs)


class ChosenEnsemble(NamedTuple):
    """Which exits answer validation data best together.

    Attributes:
        num_exits: How many.
        depth: The last of them.
        score: Their score.
        single_depth: Which exit does it best alone.
        single_score: Its score.
    """

    num_exits: int
    depth: int
    score: float
    single_depth: int
    single_score: float


def choose_ensemble(net: Network, batches: Iterable[Any]) -> ChosenEnsemble:
    """Choose how many exits to average, and up to which depth, in one pass over validation data.

    Of equals the one with the fewest exits, then the least depth.

    Args:
        net: An AL network; its mode is restored.
        batches: As for `evaluate`; not those on which the result is to be told.

    Raises:
        InputError: The network has no exits to average, or see `evaluate`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x, y = torch.randn(6, 4), torch.arange(6) % 3
        >>> net = al.al_form([nn.Linear(4, 8), nn.Linear(8, 8)], x, al.Classes(3), latent=5)
        >>> chosen = choose_ensemble(net, [(x, y)])
        >>> chosen.score >= chosen.single_score
        True
    """
    depths = range(1, ExitEnsemble(net, 1).num_layers + 1)
    pairs = [(exits, depth) for exits in depths for depth in depths if exits <= depth]
    totals, target = dict.fromkeys(pairs, 0.0), net.target
    count = 0.0

    def observe(outputs: Sequence[Tensor], y: Tensor) -> None:
        nonlocal count
        counted = target.counted(y).double()
        count += float(counted.sum())
        for exits, depth in pairs:
            score = target.score(_mean(outputs[depth - exits : depth]), y)
            totals[exits, depth] += float(score.double() @ counted)

    evaluate(net, batches, observe=observe)
    exits, depth = max(pairs, key=totals.__getitem__)
    single = max(depths, key=lambda depth: totals[1, depth])
    score, alone = totals[exits, depth] / count, totals[1, single] / count
    return ChosenEnsemble(exits, depth, score, single, alone)
