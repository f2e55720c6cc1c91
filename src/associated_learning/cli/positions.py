"""What ``al predict`` says of runs whose y has positions: texts that go on."""

from __future__ import annotations

import json

from rich.text import Text

from associated_learning.cli.tables import console
from associated_learning.data import BlockPreprocessor
from associated_learning.runs.opened import OpenRun
from associated_learning.runs.printable import printable
from associated_learning.runs.tasks.continuation import continuation
from associated_learning.runs.tasks.refusals import check_early_exit

__all__ = ["check_options", "show_positions"]

_NEW_TOKENS = 32


def check_options(opened: OpenRun, exit_: str | None, max_new_tokens: int | None) -> None:
    """Raise InputError for options that the task of a run cannot use."""
    if exit_ is not None:
        check_early_exit(opened.config.task)


def show_positions(
    opened: OpenRun, texts: list[str], depth: int, max_new_tokens: int | None, *, as_json: bool
) -> None:
    """Answer texts and show it."""
    blocks, count = opened.preprocessor, max_new_tokens
    assert isinstance(blocks, BlockPreprocessor)
    for text in texts:
        count = _NEW_TOKENS if max_new_tokens is None else max_new_tokens
        said = continuation(opened.net, blocks, text, count=count, depth=depth)
        if as_json:
            print(json.dumps({"input": text, "continuation": said, "depth": depth}))
        else:
            console.print(Text(printable(text)), Text(printable(said), "bold"), sep="")
