"""Texts, a line each."""

from typing import Any


def given(asked: list[str], how: dict[str, Any]) -> list[Any]:
    """Return the texts of a command line, or of a pipe, in minibatches."""
    texts = [text.rstrip("\r\n") for text in asked]
    return [texts[i : i + 64] for i in range(0, len(texts), 64)]
