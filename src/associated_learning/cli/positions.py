"""What ``al predict`` says of runs whose y has positions: labelled words, longer texts, masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.text import Text

from associated_learning.cli.tables import console
from associated_learning.data import BlockPreprocessor
from associated_learning.errors import InputError
from associated_learning.runs.folder.open_run import OpenRun
from associated_learning.runs.printable import escape, printable
from associated_learning.runs.tasks.continuation import continuation
from associated_learning.runs.tasks.labelling import labelled, words_of
from associated_learning.runs.tasks.mask_answers import MaskFolder, written_masks
from associated_learning.runs.tasks.refusals import check_early_exit

__all__ = ["check_options", "show_positions", "write_masks"]

_NEW_TOKENS = 32
_BATCH = 64


def check_options(task: str, exit_: str | None, max_new_tokens: int | None) -> None:
    """Raise InputError for options that the task of a run cannot use."""
    if exit_ is not None:
        check_early_exit(task)
    if max_new_tokens is not None and task != "lm":
        raise InputError(
            f"--max-new-tokens {max_new_tokens} came for a run of --task {task}, which continues "
            "no texts; leave it out."
        )


def show_positions(
    opened: OpenRun, texts: list[str], depth: int, max_new_tokens: int | None, *, as_json: bool
) -> None:
    """Answer texts and show it: words and labels as JSON, one text a line, or texts that go on."""
    if opened.config.task == "tokens":
        _show_labels(opened, [words_of(text) for text in texts], depth)
        return
    blocks = opened.preprocessor
    assert isinstance(blocks, BlockPreprocessor)
    count = _NEW_TOKENS if max_new_tokens is None else max_new_tokens
    for text in texts:
        said = continuation(opened.net, blocks, text, count=count, depth=depth)
        if as_json:
            print(json.dumps({"input": text, "continuation": said, "depth": depth}))
        else:
            console.print(Text(printable(text)), Text(printable(said), "bold"), sep="")


def write_masks(
    opened: OpenRun, images: list[str], output: str | None, command: Any, *, as_json: bool
) -> None:
    """Write the masks of images into a folder, going on where the same command was killed.

    Args:
        opened: The run.
        images: Files of images.
        output: The folder.
        command: The number of layers, and JSON-able values that decide the answers.
        as_json: Whether to print an object for each image.
    """
    if output is None:
        raise InputError(
            "no --output came; expected the folder to write masks into, a PNG for each image."
        )
    depth: int = command[0]
    to = MaskFolder.of(images, Path(output), [*command, images])
    for image, path in written_masks(opened, images, to, depth):
        if as_json:
            print(json.dumps({"input": image, "mask": str(path), "depth": depth}))
    if not as_json:
        console.print(f"{len(images)} masks in {escape(output)}, depth {depth}")


def _show_labels(opened: OpenRun, texts: list[list[str]], depth: int) -> None:
    for start in range(0, len(texts), _BATCH):
        some = texts[start : start + _BATCH]
        for words, labels in zip(some, labelled(opened, some, depth), strict=True):
            print(json.dumps({"tokens": words, "labels": labels, "depth": depth}))
