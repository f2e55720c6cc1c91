"""How well each score of a trained network finds strange inputs, and wrong labels: AUROC."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from answers import answers
from scores import STRANGE, WRONG
from sklearn.metrics import roc_auc_score
from torch import Tensor

import associated_learning as al
from associated_learning.data import Samples
from associated_learning.data.batches import Batches
from associated_learning.inference.exits.record import record_exits
from associated_learning.inference.exits.rejection import label_doubt, novelty
from associated_learning.runs.folder.open_run import OpenRun
from associated_learning.runs.inputs import load_data
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved

STRANGERS = ("digits", "cifar10")
ASKED = 3000  # test images of a set at most
MEASURES = ("prototype", "probability")  # of every exit of an AL network
Pairs = list[tuple[Any, Tensor]]


def strange_inputs(opened: OpenRun, data_root: str | None) -> dict[str, float]:
    """Return the AUROC of telling other images from the test images, by set and score."""
    data = load_data(replace(opened.config, data_root=data_root))
    test = _in_order(_first(data.test))
    known, own = answers(opened.net, _in_order(data.train)), answers(opened.net, test)
    found = {}
    for name in STRANGERS:
        strangers = list(_stranger(name, opened, data_root))
        other = answers(opened.net, strangers)
        for title, score in STRANGE.items():
            found[f"{name}, {title}"] = _told([score(known, one) for one in (own, other)])
        if isinstance(opened.net, al.ALNetwork):
            records = [record_exits(opened.net, one) for one in (test, strangers)]
            for measure, depth in itertools.product(MEASURES, range(1, opened.net.num_layers + 1)):
                told = _told([novelty(one, measure=measure, depth=depth) for one in records])
                found[f"{name}, exit {depth}, {measure}"] = told
    return found


def wrong_labels(opened: OpenRun, data_root: str | None) -> dict[str, float]:
    """Return the AUROC of telling training labels that were changed from the others, by score."""
    config = replace(opened.config, data_root=data_root)
    noisy, clean = load_data(config), load_data(replace(config, label_noise=0.0))
    samples = _in_order(noisy.train)
    known = answers(opened.net, samples)
    flipped = known.labels != torch.cat([y for _, y in _in_order(clean.train)])
    found = {title: _auroc(flipped, score(known, known)) for title, score in WRONG.items()}
    if isinstance(opened.net, al.ALNetwork):
        record = record_exits(opened.net, samples)
        for measure, depth in itertools.product(MEASURES, range(1, record.depth + 1)):
            doubt = label_doubt(record, measure=measure, depth=depth)
            found[f"exit {depth}, {measure}"] = _auroc(flipped, doubt)
    return found


def _first(samples: Samples) -> Samples:
    return samples.subset(torch.arange(min(ASKED, len(samples))))


def _in_order(samples: Samples) -> Pairs:
    return list(Batches(samples=samples, batch_size=256, shuffle=False).epoch(0))


def _stranger(name: str, opened: OpenRun, data_root: str | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the test images of another set as the network is given its own: grey, of one size."""
    data = load_data(resolved(RunConfig(data=name, data_root=data_root)))
    size = opened.spec.shape[1:]
    theirs, ours = (one.to_dict() for one in (data.preprocessor, opened.preprocessor))
    for x, y in _in_order(_first(data.test)):
        grey = (x * _channels(theirs["std"]) + _channels(theirs["mean"])).mean(dim=1, keepdim=True)
        grey = F.interpolate(grey, size, mode="bilinear", antialias=True)
        yield (grey - _channels(ours["mean"])) / _channels(ours["std"]), torch.zeros_like(y)


def _channels(values: list[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]


def _told(scores: list[Tensor]) -> float:
    """Return how well scores tell the second part from the first."""
    return _auroc(torch.arange(sum(map(len, scores))) >= len(scores[0]), torch.cat(scores))


def _auroc(positive: Tensor, scores: Tensor) -> float:
    return round(float(roc_auc_score(positive, scores)), 4)
