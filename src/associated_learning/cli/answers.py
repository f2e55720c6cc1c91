"""What ``al predict`` answers, chunk by chunk: label, probabilities, depth, and what to note."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from associated_learning.cli.questions import Question
from associated_learning.data.texts.text_preprocessor import RecognisedTexts
from associated_learning.errors import InputError
from associated_learning.inference.ensemble import ExitEnsemble
from associated_learning.inference.evaluation import predict_batches
from associated_learning.inference.exits.adaptive import AdaptiveInference, AdaptivePrediction
from associated_learning.network import Network
from associated_learning.runs.exits.early_exit import al_network, read_policy
from associated_learning.runs.exits.temperatures import temperature_of
from associated_learning.runs.folder.open_run import OpenRun

__all__ = ["CHUNK", "EMPTY", "UNKNOWN", "Answer", "answers"]

CHUNK = 64
EMPTY, UNKNOWN = "empty", "no known word"  # notes; of a row: "unknown colour 'teal'"


class Answer(TypedDict):
    """What is answered to a question: an object of JSON, with the keys in this order."""

    input: str
    label: str | list[str] | float | None
    probabilities: dict[str, float] | None
    depth: int | None
    note: str | None


def answers(
    opened: OpenRun,
    run: Path,
    asked: Sequence[Question],
    *,
    depth: int | None = None,
    exit_: str | None = None,
    start: int = 0,
) -> Iterator[list[Answer]]:
    """Yield the answers, one for each question in its place, from chunk ``start`` on.

    A blank question has the answer null and the note "empty", a text without a known word what
    the unknown token comes to and the note "no known word".

    Raises:
        InputError: ``exit_`` is not auto or came with a depth, or an input cannot be taken.
    """
    if exit_ is not None and (exit_ != "auto" or depth is not None):
        raise InputError(
            f"--exit {exit_}{'' if depth is None else f' --depth {depth}'} came; expected --exit "
            "auto, or --depth and a number of layers."
        )
    adaptive = None if exit_ is None else AdaptiveInference(al_network(opened), read_policy(run))
    chosen = opened.depth(depth)
    temperature = 1.0 if isinstance(opened.net, ExitEnsemble) else temperature_of(run, chosen)
    if opened.config.task == "regression":
        answer = partial(_numbers, opened, chosen)
    elif adaptive is not None:
        answer = partial(_names, opened, adaptive.predict_batches)
    else:
        answer = partial(_names, opened, partial(_predicted, opened.net, chosen, temperature))
    for first in range(start * CHUNK, len(asked), CHUNK):
        yield _chunk(asked[first : first + CHUNK], answer)


def _chunk(
    asked: Sequence[Question], answer: Callable[[list[Question]], list[Answer]]
) -> list[Answer]:
    inputs = [question for question in asked if question.asked is not None]
    found = iter(answer(inputs) if inputs else [])
    return [_nothing(question) if question.asked is None else next(found) for question in asked]


def _nothing(question: Question) -> Answer:
    return Answer(input=question.shown, label=None, probabilities=None, depth=None, note=EMPTY)


def _names(
    opened: OpenRun, predict: Callable[[list[Any]], AdaptivePrediction], inputs: list[Question]
) -> list[Answer]:
    """Return a class, or labels, for each input."""
    names, (batch, notes) = opened.label_names, _batch(opened, inputs)
    rows = zip(inputs, *predict([batch]), notes, strict=True)
    return [
        Answer(
            input=question.shown,
            label=_label(names, label),
            probabilities=dict(zip(names, map(float, row), strict=True)),
            depth=int(at),
            note=note,
        )
        for question, label, row, at, note in rows
    ]


def _label(names: Sequence[str], label: Tensor) -> str | list[str]:
    """Return the name of a class, or the names of all labels that hold."""
    if label.dim() == 0:
        return names[int(label)]
    return [name for name, holds in zip(names, label.tolist(), strict=True) if holds]


def _numbers(opened: OpenRun, depth: int, inputs: list[Question]) -> list[Answer]:
    """Return a number for each input, in the user's units."""
    batch, notes = _batch(opened, inputs)
    found = predict_batches(opened.net, [batch], depth).labels.flatten()
    values = opened.spec.target_scale.in_units(found.cpu()).tolist()
    return [
        Answer(input=question.shown, label=value, probabilities=None, depth=depth, note=note)
        for question, value, note in zip(inputs, values, notes, strict=True)
    ]


def _predicted(
    net: Network, depth: int, temperature: float, batches: list[Any]
) -> AdaptivePrediction:
    """Answer at one depth, in the form of answers that left at several."""
    prediction = predict_batches(net, batches, depth, temperature=temperature)
    assert prediction.probabilities is not None  # these runs tell classes or labels
    depths = torch.full((len(prediction.labels),), depth)
    return AdaptivePrediction(prediction.labels, prediction.probabilities, depths)


def _batch(opened: OpenRun, inputs: list[Question]) -> tuple[Any, list[str | None]]:
    """Return the inputs as a batch, and what is to be noted of each."""
    rows = [question.features for question in inputs if question.features is not None]
    asked, read = [question.asked for question in inputs], opened.preprocessor
    if isinstance(read, RecognisedTexts):
        batch, known = read.recognised(asked)
        return batch, [None if one else UNKNOWN for one in known]
    unseen = ([f"unknown {name} {value!r}" for name, value in one.unseen] for one in inputs)
    notes = ["; ".join(told) or None for told in unseen]
    return (torch.stack(rows) if rows else read(asked)), notes
