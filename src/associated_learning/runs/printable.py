"""Names of labels, columns and files, which may be a stranger's: in a terminal and in Markdown."""

from __future__ import annotations

import html
import re
import unicodedata

import rich.markup

__all__ = ["escape", "markdown", "printable"]

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # control, direction, surrogates, ends of lines
_MARKDOWN = re.compile(r"([\\`*{}\[\]|#~]|(?<![^\W_])_|_(?![^\W_]))")  # in a word _ is plain


def printable(text: object, *, lines: bool = False) -> str:
    r"""Return a text whose characters are all seen: others become their escapes.

    So no name moves the cursor, recolours the terminal, or reads from right to left.

    Args:
        text: Any text.
        lines: Whether ends of lines stay.

    Example:
        >>> printable("a\x1b[31mred\nline")
        'a\\x1b[31mred\\nline'
    """
    return "".join(
        character if _is_seen(character) or (lines and character in "\n\t") else _escaped(character)
        for character in str(text)
    )


def escape(text: object, *, lines: bool = False) -> str:
    """Return a text for `rich`, which shows it as it is; see `printable`."""
    return rich.markup.escape(printable(text, lines=lines))


def markdown(text: object) -> str:
    r"""Return a text that stands in Markdown, in a table and in the HTML made of it as it is.

    Example:
        >>> markdown("<script>|*a*")
        '&lt;script&gt;\\|\\*a\\*'
    """
    return html.escape(_MARKDOWN.sub(r"\\\1", printable(text)), quote=False)


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in _UNSEEN


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
