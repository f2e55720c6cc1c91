"""The labels of the words of new texts."""

from __future__ import annotations

import json
from typing import Any

from associated_learning.data import TagPreprocessor
from associated_learning.errors import InputError
from associated_learning.runs.folder.open_run import OpenRun
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.nested import to_device

__all__ = ["labelled", "words_of"]


def words_of(text: str) -> list[str]:
    """Return the words of an input: a list in JSON, or what stands between spaces.

    Raises:
        InputError: It holds no words.

    Example:
        >>> words_of("Ada lives here ."), words_of('["New York", "!"]')
        (['Ada', 'lives', 'here', '.'], ['New York', '!'])
    """
    if not text.lstrip().startswith("["):
        words: Any = text.split()
    else:
        try:
            words = json.loads(text)
        except ValueError:
            words = text.split()  # a text that begins with a bracket
    if not words or not all(isinstance(word, str) for word in words):
        raise InputError(f"{text[:40]!r} holds no words; expected words with spaces between them")
    return list(words)


def labelled(opened: OpenRun, texts: list[list[str]], depth: int) -> list[list[str]]:
    """Return a label for every word of some texts.

    Raises:
        InputError: A word has no token; names it.
    """
    preprocessor, net = opened.preprocessor, opened.net
    assert isinstance(preprocessor, TagPreprocessor)
    batch, places = preprocessor.placed(texts)
    with evaluating(net):
        numbers = net.predict(to_device(batch, device_of(net)), depth).labels.tolist()
    return [
        [opened.label_names[row[place]] for place in own]
        for row, own in zip(numbers, places, strict=True)
    ]
