"""From a raw text to words: lower case, no markup, no punctuation."""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Any

from associated_learning.errors import needs_extra

__all__ = ["ALPHANUMERIC", "TOKENS", "tokenization_rules", "tokenize"]

# AG News lost the ampersand of its entities (`it#39;s`, `quot;`) when it was made.
_BARE_ENTITY = re.compile(r"(?<!&)(#\d{2,5}|\b(?:quot|amp|lt|gt|nbsp|hellip|[lr]s?d?quo));")
_TAG = re.compile(r"</?[a-z][^<>]*>")
ALPHANUMERIC = r"[^\W_]+"
"""Runs of letters and digits: a whole sentence where no spaces are written, and no emoji."""

# Thai to Myanmar, Khmer, kana, ideographs: no spaces between words, so that each sign is a token
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
_UNSPACED += r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
_PICTURES = r"\u2600-\u27bf\u2b05-\u2b55\U0001f000-\U0001faff"
# accents, points and vowel signs, which are no letters by themselves; joiners between letters
_MARKS = (
    r"\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1-\u05c2\u05c4-\u05c5\u05c7\u0610-\u061a"
)
_MARKS += r"\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u0900-\u0963\u0966-\u0dff"
_MARKS += r"\u200c-\u200d"
_LETTER = rf"[^\W_{_UNSPACED}]"
TOKENS = rf"{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*|[{_UNSPACED}{_PICTURES}]"
"""Words with their marks; each sign of a script without spaces; each emoji. For Python's re."""


def tokenize(
    text: str, *, remove_stop_words: bool = False, token_pattern: str = TOKENS
) -> list[str]:
    r"""Return the tokens of ``text``, lower case: words of letters and digits.

    Where no spaces stand between words, as in Chinese, Japanese and Thai, each sign is a token,
    and so is each emoji. HTML tags and entities are markup and go; every other sign, apostrophes
    included, only parts words (``movie's`` is ``movie``, ``s``). Of the ways to treat apostrophes
    this one covers most of the training words of IMDB, AG News and DBpedia by GloVe.

    Args:
        text: Any text.
        remove_stop_words: Leave out scikit-learn's English stop words. The list holds
            ``not``, ``no`` and ``never``, so think twice where sentiment is asked.
        token_pattern: What a token is, for Python's re.

    Example:
        >>> tokenize('<b>Don\'t</b> &amp; it#39;s 2 GOOD!<br />')
        ['don', 't', 'it', 's', '2', 'good']
        >>> tokenize("The plot is not clever", remove_stop_words=True)
        ['plot', 'clever']
        >>> tokenize("Café 好看 👍👍")
        ['café', '好', '看', '👍', '👍']
    """
    words = re.findall(token_pattern, _without_markup(text.lower()))
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


def tokenization_rules(
    *, remove_stop_words: bool = False, token_pattern: str = TOKENS
) -> dict[str, Any]:
    """Return the rules of `tokenize` as values that JSON can hold, for programs without it.

    In this order: lower case; where there is a ``;``, each ``entity`` gets the ampersand it lost,
    entities are unescaped, and lower case again; the text is split at each ``comment``; a ``tag``
    becomes a space; each match of ``word`` is a word, unless it is one of the ``stop_words``.
    """
    return {
        "entity": _BARE_ENTITY.pattern,
        "comment": "(?s:<!--.*?-->)",
        "tag": "</?[a-z][^<>]*>",
        "word": token_pattern,
        "stop_words": sorted(_stop_words()) if remove_stop_words else [],
    }
