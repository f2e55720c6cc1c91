"""``al predict``: labels for new texts, image files or rows of numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from associated_learning.cli.answer_file import AnswerFile, check_names
from associated_learning.cli.answers import CHUNK, Answer, answers
from associated_learning.cli.ensemble import with_ensemble
from associated_learning.cli.options import RunFolder
from associated_learning.cli.positions import check_options, show_positions, write_masks
from associated_learning.cli.questions import Question, lines, questions
from associated_learning.cli.tables import console
from associated_learning.data.tables.dialect import SEPARATED
from associated_learning.errors import InputError, nearest
from associated_learning.runs.exits.early_exit import read_policy
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.printable import escape, printable
from associated_learning.state.checkpoint import Checkpoints

__all__ = ["predict"]

_OPTIONS = ("--file", "--depth", "--ensemble", "--exit", "--max-new-tokens", "--output", "--json")


def predict(
    run: RunFolder,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(help="Texts, image files, or rows of numbers such as 1.5,2,0."),
    ] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option(
            help="Read inputs from this file, one a line, or by the run's columns from .csv, .tsv "
            "and .jsonl; - for the pipe. A blank line keeps its place, without an answer."
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            help="Number of layers to pass; if not given those that were best on validation."
        ),
    ] = None,
    ensemble: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Answer by the mean of the last N exits up to the depth; al evaluate RUN "
            "--ensemble auto chooses how many.",
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
    output: Annotated[
        str | None,
        typer.Option(
            help="Write one JSON object a line into this file; if it ends in .csv or .tsv, the "
            "columns of --file with prediction, probability, depth and note. When it was killed, "
            "the same command goes on after the answers that are there. Segmentation: the folder "
            "for masks."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line instead of a table.")
    ] = False,
) -> None:
    """Label new inputs with a trained run: label, probabilities and depth; or continue texts.

    Of a run of --task tokens every input is words with spaces between them, or a list of words in
    JSON; words and labels come back as JSON, one text a line. Of --task segmentation every image
    gets a mask, NAME.png in the folder --output, of its size and with the values or colours of the
    training masks.

    Examples:

        al predict runs/sst2-bilstm-al-0 "a gripping film" "what a waste of time"

        al predict runs/fashion_mnist-cnn-al-0 shoe.png --depth 2 --json

        al predict runs/sst2-bilstm-al-0 --file reviews.txt --exit auto

        al predict runs/sst2-bilstm-al-0 --file reviews.csv --output labels.csv

        al predict runs/points-mlp-al-0 -1.5,2,0

        al predict runs/fields-cnn-al-0 a.jpg b.jpg --output masks

        al predict runs/texts-hf-gpt2-al-0 "Once upon a time" --max-new-tokens 20
    """
    _check_options(inputs or [])
    if ensemble is not None and (exit_ is not None or ensemble == "auto"):
        beside = "" if exit_ is None else f" --exit {exit_}"
        raise InputError(
            f"--ensemble {ensemble}{beside} came; expected a number of exits, and no --exit. "
            "al evaluate RUN --ensemble auto chooses the number."
        )
    opened = with_ensemble(open_run(Path(run)), ensemble)
    none = InputError("no input came; give texts, image files or rows, or name a --file.")
    check_options(opened.config.task, exit_, max_new_tokens)
    if opened.spec.positions:
        raw = [*(inputs or []), *_texts_of(file)]
        if not raw:
            raise none
        if opened.config.task == "segmentation":
            command = [opened.depth(depth), *_weights_of(Path(run)), ensemble]
            write_masks(opened, raw, output, command, as_json=as_json)
            return
        if output is not None:
            raise InputError("--output came for a run of texts; redirect what is printed.")
        show_positions(opened, raw, opened.depth(depth), max_new_tokens, as_json=as_json)
        return
    asked = questions(opened, inputs or [], file)
    if not asked:
        raise none
    answered = partial(answers, opened, Path(run), asked, depth=depth, exit_=exit_)
    if output is not None:
        policy = repr(read_policy(Path(run))) if exit_ else None
        key = [*_weights_of(Path(run)), opened.depth(depth), ensemble, policy]
        _write(output, asked, key, answered)
        return
    gap = ", " if opened.spec.kind == "table" else ","  # so that long rows wrap between values
    _show(answered(), as_json, gap)


def _check_options(inputs: list[str]) -> None:
    """Raise InputError if an input is a mistyped option."""
    for text in inputs:
        if re.match(r"--?[A-Za-z]", text):
            raise InputError(
                f"there is no option {text}.{nearest(text.split('=')[0], _OPTIONS)} An input "
                "that starts so goes into a --file."
            )


def _weights_of(run: Path) -> list[Any]:
    """Return what tells the weights that answer from any others."""
    best = Checkpoints(run / "checkpoints").path("best").resolve()
    return [str(best), best.stat().st_mtime_ns]


def _texts_of(file: str | None) -> list[str]:
    return [] if file is None else [line for line in lines(file) if line.strip()]


def _write(
    output: str,
    asked: list[Question],
    key: list[Any],
    answered: Callable[..., Iterable[list[Answer]]],
) -> None:
    """Write the answers into a file, going on where the same command was killed.

    Args:
        output: The file.
        asked: What was asked.
        key: What else tells this command from others.
        answered: Gives the answers from chunk ``start`` on.
    """
    rows = [(question.shown, question.asked) for question in asked]
    own = [question.row or {"input": question.shown} for question in asked]
    if any(question.row for question in asked):  # in which a blank line is one
        own = [question.row or {} for question in asked]
    if Path(output).suffix.lower() in SEPARATED:
        check_names(name for row in own for name in row)
    file = AnswerFile.of(Path(output), [*key, rows])
    start = file.finished_chunks(CHUNK)
    file.write(answered(start=start), own)
    console.print(f"{len(asked)} answers in {escape(output)}")


def _show(chunks: Iterable[list[Answer]], as_json: bool, gap: str = ",") -> None:
    found = (answer for chunk in chunks for answer in chunk)
    if as_json:
        for answer in found:
            print(json.dumps(answer))
        return
    table = Table()
    for heading in ("input", "label", "probability", "depth"):
        table.add_column(heading, justify="left" if heading in ("input", "label") else "right")
    rows = [_cells({**one, "input": one["input"].replace(",", gap)}) for one in found]
    for row in rows:
        table.add_row(*row)
    if not any(probability for _, _, probability, _ in rows):  # numbers have none
        del table.columns[2]
    console.print(table)


def _cells(answer: Answer) -> tuple[Text | str, ...]:
    shown, label, note = Text(printable(answer["input"])), answer["label"], answer["note"]
    if label is None:
        return shown, f"({note})", "", ""
    shares, depth = answer["probabilities"], str(answer["depth"])
    if shares is None:
        text, share = f"{label:.6g}", ""
    elif isinstance(label, list):
        text = ", ".join(map(printable, label)) or "none"
        share = ", ".join(f"{shares[name]:.3f}" for name in label)
    else:
        text, share = printable(str(label)), f"{shares[str(label)]:.3f}"
    return shown, Text(text + (f" ({note})" if note else "")), share, depth
