"""From a raw text to words: lower case, no markup, no punctuation."""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Any

from associated_learning.errors import needs_extra

__all__ = ["tokenization_rules", "tokenize"]

# AG News lost the ampersand of its entities (`it#39;s`, `quot;`) when it was made.
_BARE_ENTITY = re.compile(r"(?<!&)(#\d{2,5}|\b(?:quot|amp|lt|gt|nbsp|hellip|[lr]s?d?quo));")
_TAG = re.compile(r"</?[a-z][^<>]*>")
_WORD = re.compile(r"[^\W_]+")


def tokenize(text: str, *, remove_stop_words: bool = False) -> list[str]:
    r"""Return the words of ``text``: runs of letters and digits, lower case.

    HTML tags and entities are markup and go; every other sign, apostrophes included, only
    parts words (``movie's`` is ``movie``, ``s``). Of the ways to treat apostrophes this one
    covers most of the training words of IMDB, AG News and DBpedia by GloVe.

    Args:
        text: Any text.
        remove_stop_words: Leave out scikit-learn's English stop words. The list holds
            ``not``, ``no`` and ``never``, so think twice where sentiment is asked.

    Example:
        >>> tokenize('<b>Don\'t</b> &amp; it#39;s 2 GOOD!<br />')
        ['don', 't', 'it', 's', '2', 'good']
        >>> tokenize("The plot is not clever", remove_stop_words=True)
        ['plot', 'clever']
    """
    words = _WORD.findall(_without_markup(text.lower()))
    if remove_stop_words:
        stop_words = _stop_words()
        return [word for word in words if word not in stop_words]
    return words


def _without_markup(text: str) -> str:
    if ";" in text:
        text = html.unescape(_BARE_ENTITY.sub(r"&\1;", text)).lower()
    if "<" not in text:
        return text
    return " ".join(_TAG.sub(" ", part) for part in _between_comments(text))


def _between_comments(text: str) -> list[str]:
    """Return what stands around comments, in one pass: a pattern would look for every end anew."""
    parts, begin = [], 0
    while (start := text.find("<!--", begin)) >= 0:
        end = text.find("-->", start + len("<!--"))
        if end < 0:
            break
        parts.append(text[begin:start])
        begin = end + len("-->")
    return [*parts, text[begin:]]


@cache
def _stop_words() -> frozenset[str]:
    # scikit-learn takes a second to import, and only this option needs it.
    with needs_extra("data", "the list of stop words"):
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)


def tokenization_rules(*, remove_stop_words: bool = False) -> dict[str, Any]:
    """Return the rules of `tokenize` as values that JSON can hold, for programs without it.

    In this order: lower case; where there is a ``;``, each ``entity`` gets the ampersand it lost,
    entities are unescaped, and lower case again; the text is split at each ``comment``; a ``tag``
    becomes a space; each match of ``word`` is a word, unless it is one of the ``stop_words``.
    """
    return {
        "entity": _BARE_ENTITY.pattern,
        "comment": "(?s:<!--.*?-->)",
        "tag": "</?[a-z][^<>]*>",
        "word": _WORD.pattern,
        "stop_words": sorted(_stop_words()) if remove_stop_words else [],
    }
