"""What ``al predict`` says of runs whose y has positions: words with labels, texts that go on."""

from __future__ import annotations

import json

from rich.text import Text

from associated_learning.cli.tables import console
from associated_learning.data import BlockPreprocessor
from associated_learning.errors import InputError
from associated_learning.runs.opened import OpenRun
from associated_learning.runs.printable import printable
from associated_learning.runs.tasks.continuation import continuation
from associated_learning.runs.tasks.labelling import labelled, words_of
from associated_learning.runs.tasks.refusals import check_early_exit

__all__ = ["check_options", "show_positions"]

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


def _show_labels(opened: OpenRun, texts: list[list[str]], depth: int) -> None:
    for start in range(0, len(texts), _BATCH):
        some = texts[start : start + _BATCH]
        for words, labels in zip(some, labelled(opened, some, depth), strict=True):
            print(json.dumps({"tokens": words, "labels": labels, "depth": depth}))
