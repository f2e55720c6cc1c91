"""What a graph does not tell of its run: how inputs are prepared, and outputs are read."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from associated_learning.data.images.image_preprocessor import ImagePreprocessor
from associated_learning.data.images.masked_images import MaskPreprocessor
from associated_learning.data.labels.label_sets import label_columns
from associated_learning.data.reading.named import NAMED
from associated_learning.data.tables.table_preprocessor import TablePreprocessor
from associated_learning.data.tables.written_numbers import MISSING_MARKS
from associated_learning.data.texts.subword import SubwordPreprocessor
from associated_learning.data.texts.text_preprocessor import TextPreprocessor
from associated_learning.data.texts.tokenization import tokenization_rules
from associated_learning.data.texts.vocabulary import PAD, UNK
from associated_learning.errors import InputError
from associated_learning.runs.folder.open_run import OpenRun
from associated_learning.targets import Classes, MultiLabel, Regression

__all__ = ["SCHEMA", "VERSION", "export_description"]

SCHEMA = "associated-learning-export"
VERSION = 1  # of the form that schema.json states; one more whenever a runner would read it wrongly


def export_description(
    opened: OpenRun, inputs: tuple[str, ...], depth: int, temperature: float = 1.0
) -> dict[str, Any]:
    """Return all that labelling raw inputs by an exported graph needs, in the form of schema.json.

    Args:
        opened: The run.
        inputs: Names of the graph's inputs.
        depth: Number of layers in it.
        temperature: What its outputs are divided by before they are read as probabilities.

    Raises:
        InputError: The run tells no class or number, or its inputs are prepared in a way that has
            no description yet.
    """
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "task": opened.config.task,
        "kind": opened.preprocessor.kind,
        "inputs": list(inputs),
        **_output(opened),
        "depth": depth,
        "temperature": temperature,
        "label_names": list(opened.label_names),
        "preprocessing": {**_preprocessing(opened.preprocessor), **_text_columns(opened)},
        **_masks(opened.preprocessor),
    }


def _text_columns(opened: OpenRun) -> dict[str, Any]:
    """Return the columns of the texts in a file, where they are known."""
    config = opened.config
    if opened.spec.kind != "text":
        return {}
    if config.data in NAMED:
        return {"columns": list(NAMED[config.data].columns)}
    if config.text_column is None:  # only of a run that was trained before it was noted
        return {}
    return {"columns": label_columns(config.text_column, [])}


def _masks(preprocessor: object) -> dict[str, Any]:
    """Return how answers at every pixel become masks, where the run has such."""
    if not isinstance(preprocessor, MaskPreprocessor):
        return {}
    own = preprocessor.masks
    return {"masks": {"mode": own.mode, "values": own.values(), "palette": list(own.palette)}}


def _output(opened: OpenRun) -> dict[str, Any]:
    """Return what the graph's output is."""
    target = opened.net.target
    if isinstance(target, Regression):
        mean, std = opened.spec.target_scale
        return {"output": "standardised", "target_mean": mean, "target_std": std}
    if isinstance(target, MultiLabel) and target.loss_kind == "ce":
        return {"output": "label logits"}
    if not isinstance(target, Classes):
        raise InputError(
            f"a run of {type(target).__name__} came; expected one of classes, of labels by their "
            "cross-entropy or a regression, which is all that an export describes. In Python, "
            "export_onnx takes any network."
        )
    return {"output": "logits" if target.loss_kind == "ce" else "values near one-hot labels"}


@singledispatch
def _preprocessing(preprocessor: object) -> dict[str, Any]:
    raise InputError(
        f"inputs prepared by {type(preprocessor).__name__} came; expected texts, images or rows of "
        "numbers, which an export can describe. In Python, export_onnx takes any network."
    )


@_preprocessing.register
def _(preprocessor: TextPreprocessor) -> dict[str, Any]:
    return {
        **tokenization_rules(
            remove_stop_words=preprocessor.remove_stop_words,
            token_pattern=preprocessor.token_pattern,
        ),
        "max_length": preprocessor.max_length,
        "words": list(preprocessor.vocabulary.words),
        "first_id": len(preprocessor.vocabulary) - len(preprocessor.vocabulary.words),
        "padding": PAD,
        "unknown": UNK,
    }


@_preprocessing.register
def _(preprocessor: SubwordPreprocessor) -> dict[str, Any]:
    return {
        "tokenizer": preprocessor.cutting(),
        "padding": preprocessor.padding,
        "unknown": preprocessor.nothing,
    }


@_preprocessing.register
def _(preprocessor: TablePreprocessor) -> dict[str, Any]:
    described = {
        "encodings": [{} for _ in preprocessor.columns],
        **preprocessor.to_dict(),
        "missing": ["", *MISSING_MARKS],
    }
    del described["kind"]
    return described


@_preprocessing.register
def _(preprocessor: ImagePreprocessor) -> dict[str, Any]:
    channels, height, width = preprocessor.format
    return {
        "channels": channels,
        "size": [height, width],
        "resize": "bilinear",
        "scale": 255,
        "mean": list(preprocessor.mean),
        "std": list(preprocessor.std),
    }


@_preprocessing.register
def _(preprocessor: MaskPreprocessor) -> dict[str, Any]:
    return _preprocessing(preprocessor.images)
