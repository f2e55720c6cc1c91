"""``al predict``: labels for new texts, image files or rows of numbers."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.table import Table
from rich.text import Text

from associated_learning.cli.options import RunFolder
from associated_learning.cli.positions import check_options, show_positions
from associated_learning.cli.tables import console
from associated_learning.errors import InputError, nearest
from associated_learning.inference.evaluation import predict_batches
from associated_learning.inference.exits.adaptive import AdaptiveInference, AdaptivePrediction
from associated_learning.runs.exits.early_exit import al_network, read_policy
from associated_learning.runs.opened import OpenRun, open_run
from associated_learning.runs.printable import printable

__all__ = ["predict"]

BATCH = 64
_OPTIONS = ("--file", "--depth", "--exit", "--max-new-tokens", "--json")


def predict(
    run: RunFolder,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(help="Texts, image files, or rows of numbers such as 1.5,2,0."),
    ] = None,
    *,
    file: Annotated[
        str | None, typer.Option(help="Read inputs from this file, one a line; - for the pipe.")
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            help="Number of layers to pass; if not given those that were best on validation."
        ),
    ] = None,
    exit_: Annotated[
        str | None,
        typer.Option(
            "--exit",
            metavar="auto",
            help="Let each input leave at the depth that is sure of it, by the thresholds of "
            "al evaluate RUN --exits.",
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            help="Language models: most tokens to add, 32 if not given, each the likeliest. Every "
            "one is computed from the whole text anew: there is no cache of keys and values."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line instead of a table.")
    ] = False,
) -> None:
    """Label new inputs with a trained run: label, probabilities and depth; or continue texts.

    Of a run of --task tokens every input is words with spaces between them, or a list of words in
    JSON; words and labels come back as JSON, one text a line.

    Examples:

        al predict runs/sst2-bilstm-al-0 "a gripping film" "what a waste of time"

        al predict runs/fashion_mnist-cnn-al-0 shoe.png --depth 2 --json

        al predict runs/sst2-bilstm-al-0 --file reviews.txt --exit auto

        al predict runs/points-mlp-al-0 -1.5,2,0

        al predict runs/texts-hf-gpt2-al-0 "Once upon a time" --max-new-tokens 20
    """
    _check_options(inputs or [])
    opened = open_run(Path(run))
    raw = [*(inputs or []), *_lines(file)]
    if not raw:
        raise InputError("no input came; give texts, image files or rows, or name a --file.")
    check_options(opened.config.task, exit_, max_new_tokens)
    if opened.spec.positions:
        show_positions(opened, raw, opened.depth(depth), max_new_tokens, as_json=as_json)
        return
    answered = _answers(opened, Path(run), raw, depth, exit_)
    names = opened.label_names
    answers = [
        {
            "input": text,
            "label": names[int(label)],
            "probabilities": dict(zip(names, map(float, row), strict=True)),
            "depth": int(at),
        }
        for text, label, row, at in zip(raw, *answered, strict=True)
    ]
    _show(answers, as_json)


def _answers(
    opened: OpenRun, run: Path, raw: list[str], depth: int | None, exit_: str | None
) -> AdaptivePrediction:
    """Answer at one depth, or let each input leave where its exit is sure enough."""
    if exit_ is None:
        chosen = opened.depth(depth)
        prediction = predict_batches(opened.net, _batches(opened, raw), chosen)
        assert prediction.probabilities is not None  # runs are classifications
        depths = torch.full_like(prediction.labels, chosen)
        return AdaptivePrediction(prediction.labels, prediction.probabilities, depths)
    if exit_ != "auto" or depth is not None:
        raise InputError(
            f"--exit {exit_}{'' if depth is None else f' --depth {depth}'} came; expected --exit "
            "auto, or --depth and a number of layers."
        )
    adaptive = AdaptiveInference(al_network(opened), read_policy(run))
    return adaptive.predict_batches(_batches(opened, raw))


def _check_options(inputs: list[str]) -> None:
    """Raise InputError if an input is a mistyped option."""
    for text in inputs:
        if re.match(r"--?[A-Za-z]", text):
            raise InputError(
                f"there is no option {text}.{nearest(text.split('=')[0], _OPTIONS)} An input "
                "that starts so goes into a --file."
            )


def _lines(file: str | None) -> list[str]:
    if file is None:
        return []
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--file {file} cannot be read as text: {error}") from error
    return [line for line in text.splitlines() if line.strip()]


def _batches(opened: OpenRun, raw: list[str]) -> Iterator[Any]:
    parsed: list[Any] = [_row(text) for text in raw] if opened.spec.kind == "table" else raw
    for start in range(0, len(parsed), BATCH):
        yield opened.preprocessor(parsed[start : start + BATCH])


def _row(text: str) -> list[float]:
    try:
        return [float(value) for value in text.split(",")]
    except ValueError:
        raise InputError(f"{text!r} is no row of numbers; expected such as 1.5,2,0.") from None


def _show(answers: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for answer in answers:
            print(json.dumps(answer))
        return
    table = Table()
    for heading in ("input", "label", "probability", "depth"):
        table.add_column(heading, justify="left" if heading in ("input", "label") else "right")
    for answer in answers:
        probability = answer["probabilities"][answer["label"]]
        texts = (Text(printable(answer["input"])), Text(printable(answer["label"])))
        table.add_row(*texts, f"{probability:.3f}", str(answer["depth"]))
    console.print(table)
