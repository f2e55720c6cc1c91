"""Algorithm 3 over whole data sets: predictions at one depth, scores at every depth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from associated_learning.conversion.html_table import html_table
from associated_learning.data.array_batches import array_batches
from associated_learning.errors import InputError
from associated_learning.inference.metrics.at_depths import DepthMetric
from associated_learning.inference.metrics.names import MetricLike, chosen_metrics
from associated_learning.network import Network
from associated_learning.targets import Prediction, Target
from associated_learning.tensors.batch_checks import as_pair, check_batch, check_finite, explained
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.nested import to_device

__all__ = ["Evaluation", "Observer", "evaluate", "predict_batches", "score_samples"]


Observer: TypeAlias = Callable[[Sequence[Tensor], Tensor], None]


class Evaluation(NamedTuple):
    """Mean scores of a data set.

    Attributes:
        scores: The target's score (accuracy for classes) at depth 1, 2, ..., L. Where y has
            positions, the mean over all that count.
        losses: Loss of the output against ``t_0`` at each depth.
        num_samples: Number of samples.
        metrics: The metrics that were asked for, at each depth, by name.
    """

    scores: tuple[float, ...]
    losses: tuple[float, ...]
    num_samples: int
    metrics: Mapping[str, tuple[float, ...]] = {}

    def _repr_html_(self) -> str:
        columns = [self.scores, self.losses, *self.metrics.values()]
        rows = [
            (str(i), f"{score:.4f}", *(f"{value:.4g}" for value in others))
            for i, (score, *others) in enumerate(zip(*columns, strict=True), start=1)
        ]
        header = ("depth", "score", "loss", *self.metrics)
        return html_table(f"{self.num_samples:,} samples", header, rows)


def evaluate(
    net: Network,
    batches: Iterable[Any],
    *,
    metrics: Sequence[MetricLike] = (),
    observe: Observer | None = None,
) -> Evaluation:
    """Score a network at every depth in one pass.

    Args:
        net: The network; its mode is restored.
        batches: Pairs of inputs and targets, or dictionaries with ``labels``: a DataLoader, say;
            or one pair of arrays, with a row for each sample, as `Trainer.fit` takes.
        metrics: What else to measure: names such as "f1", "iou" or "perplexity"
            (`metrics_by_name` tells those of a target), metrics of torchmetrics, or an
            `EvaluationMetric`. Positions that do not count are left out.
        observe: Called for every batch with the outputs of depth 1, 2, ..., L, each
            ``[B, *P, size]``, and y.

    Raises:
        InputError: There is no batch, or one does not fit the network or holds NaN; or there is
            no such metric.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> net = al.BPNetwork(nn.Linear(2, 2), target=al.Classes(2))
        >>> batch = (torch.randn(4, 2), torch.tensor([0, 1, 0, 1]))
        >>> found = al.evaluate(net, [batch], metrics=["f1", "perplexity"])
        >>> found.num_samples, list(found.metrics)
        (4, ['f1', 'perplexity'])
    """
    chosen = chosen_metrics(metrics, net.target)
    measured = [DepthMetric(one, net.target, net.num_layers) for one in chosen]
    samples, count = 0, 0.0
    scores = torch.zeros(net.num_layers, dtype=torch.float64)
    losses = torch.zeros(net.num_layers, dtype=torch.float64)
    for judged in _judged(net, batches, measured, observe):
        scores += judged.scores @ judged.counted
        losses += judged.losses * judged.counted.sum()
        count += float(judged.counted.sum())
        samples += len(judged.counted)
    if not count:
        raise InputError("no position of the data counts: y holds nothing but what is ignored.")
    mean_scores, mean_losses = (scores / count).tolist(), (losses / count).tolist()
    values = {one.name: one.values() for one in measured}
    return Evaluation(tuple(mean_scores), tuple(mean_losses), samples, values)


def score_samples(net: Network, batches: Iterable[Any]) -> Tensor:
    """Return the score of every sample at every depth, ``[L, N]``, in the order they came.

    Args:
        net: The network; its mode is restored.
        batches: Pairs of inputs and targets, or dictionaries with ``labels``: a DataLoader, say.

    Raises:
        InputError: See `evaluate`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> net = al.BPNetwork(nn.Linear(2, 2), target=al.Classes(2))
        >>> batch = (torch.randn(4, 2), torch.tensor([0, 1, 0, 1]))
        >>> score_samples(net, [batch, batch]).shape
        torch.Size([1, 8])
    """
    return torch.cat([judged.scores for judged in _judged(net, batches)], dim=1)


class _Judged(NamedTuple):
    """A batch's scores ``[L, B]``, mean losses ``[L]``, and how much its samples count ``[B]``."""

    scores: Tensor
    losses: Tensor
    counted: Tensor


def _judged(
    net: Network,
    batches: Iterable[Any],
    metrics: Sequence[DepthMetric] = (),
    observe: Observer | None = None,
) -> list[_Judged]:
    """Judge every batch, and tell metrics and observer of it; the results are on the CPU.

    One depth's output lives at a time, unless there is somebody to observe all of them.
    """
    device, judged, target = device_of(net), [], net.target
    of_arrays = array_batches(batches)
    batches = batches if of_arrays is None else of_arrays.epoch(0)
    asked: dict[int, tuple[Tensor, Any]] = {}  # y and t_0 of the batches that are under way

    def inputs() -> Iterator[Any]:
        for number, batch in enumerate(batches):
            x, y = as_pair(batch, number)
            check_batch(x, y, number)
            y = y.to(device)
            asked[number] = y, target.encode(y)
            yield to_device(x, device)

    def read(number: int, depth: int, output: Tensor) -> _Read:
        y, t0 = asked[number]
        for metric in metrics:
            metric.add(depth, output, y)
        seen = None if observe is None else output
        return _Read(target.score(output, y), target.loss(output, t0), seen)

    with evaluating(net):
        for number, found in enumerate(net.exits_of(inputs(), read)):
            judged.append(_batch_judged(target, list(found), asked.pop(number)[0], observe))
    if not judged:
        raise InputError("no samples came to evaluate on; expected at least one batch.")
    return judged


class _Read(NamedTuple):
    """What is kept of an output: its scores ``[B]``, its loss, and itself if somebody observes."""

    scores: Tensor
    loss: Tensor
    output: Tensor | None


def _batch_judged(
    target: Target, read: Sequence[_Read], y: Tensor, observe: Observer | None
) -> _Judged:
    """Return what was read of a batch at all depths as one."""
    if observe is not None:
        observe([one.output for one in read if one.output is not None], y)
    losses = torch.stack([one.loss for one in read]).double().cpu()
    counted = target.counted(y).double().cpu()
    if counted.sum() == 0:
        losses = torch.zeros_like(losses)  # the mean of nothing is NaN
    return _Judged(torch.stack([one.scores for one in read]).double().cpu(), losses, counted)


def predict_batches(
    net: Network, inputs: Iterable[Any], depth: int | None = None, *, temperature: float = 1.0
) -> Prediction:
    """Predict batch by batch through ``depth`` layers and join the results, on the CPU.

    Args:
        net: The network; its mode is restored.
        inputs: Batches of inputs.
        depth: 1 to `Network.num_layers`; all layers by default.
        temperature: What logits are divided by before they are read as probabilities.

    Raises:
        InputError: There is no batch, the depth is out of range, or an input is not finite.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x = torch.randn(6, 4)
        >>> net = al.al_form([nn.Linear(4, 8), nn.Linear(8, 8)], x, al.Classes(3), latent=5)
        >>> labels, probabilities = al.predict_batches(net, [x[:4], x[4:]], depth=1)
        >>> labels.shape, probabilities.shape
        (torch.Size([6]), torch.Size([6, 3]))
    """
    device, found = device_of(net), []
    with evaluating(net):
        for x in inputs:
            check_finite(x, "input")
            with explained("the network cannot take the input", x):
                output = net(to_device(x, device), depth)
                found.append(net.target.calibrated(output, temperature))
    if not found:
        raise InputError("no inputs came to predict; expected at least one batch.")
    labels = torch.cat([prediction.labels.cpu() for prediction in found])
    if found[0].probabilities is None:
        return Prediction(labels, None)
    probabilities = [p.probabilities.cpu() for p in found if p.probabilities is not None]
    return Prediction(labels, torch.cat(probabilities))
