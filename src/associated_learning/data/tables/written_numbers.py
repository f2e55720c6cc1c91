"""Numbers as people write them, 12%, $1,500 or 80,5, and marks where one is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["DECIMAL_COMMAS", "MISSING_MARKS", "has_decimal_comma", "number_of", "numbers_of"]

# where a column of numbers lacks one; in a column of texts each is a text like any other
MISSING_MARKS = ("?", "-", "--", ".", "na", "n/a", "#n/a", "nan", "null", "none")
DECIMAL_COMMAS = (  # what a column does that `has_decimal_comma`
    "holds numbers with decimal commas (such as {!r}): write points, or save the file with"
    " semicolons between the columns"
)
_AROUND = "%$€£¥ \t\n\r\N{NO-BREAK SPACE}"
_PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_WHOLE = re.compile(r"[-+]?\d{1,18}")  # what int64 holds whatever the digits are
_COMMA = re.compile(r"[-+]?\d*,\d+(e[-+]?\d+)?", re.IGNORECASE)  # 80,5
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")  # 1,234.5
_POINT_THOUSANDS = re.compile(r"[-+]?\d{1,3}(\.\d{3})+,\d+")  # 1.234,5
_EITHER = re.compile(r"[-+]?\d{1,3}\.\d{3}")  # 1.234, either in a file of decimal commas


def number_of(text: str, *, decimal: str = ".") -> float | None:
    """Return a number without percent, currency and thousands signs; None where it is missing.

    Args:
        text: As it is written.
        decimal: "," in files that separate columns by semicolons, as spreadsheets write them where
            80,5 is a number; commas between thousands elsewhere.

    Raises:
        ValueError: It is no number.

    Example:
        >>> number_of("12.5%"), number_of("$1,500"), number_of("80,5", decimal=","), number_of("?")
        (12.5, 1500, 80.5, None)
    """
    bare = re.sub(rf"^([-+]?)[{_AROUND}]+", r"\1", text.strip(_AROUND))
    if not bare or bare.lower() in MISSING_MARKS:
        return None
    if decimal == "," and _POINT_THOUSANDS.fullmatch(bare):
        bare = bare.replace(".", "")
    if decimal == "," and _COMMA.fullmatch(bare):
        bare = bare.replace(",", ".")
    elif decimal == "." and _THOUSANDS.fullmatch(bare):
        bare = bare.replace(",", "")
    if _WHOLE.fullmatch(bare):
        return int(bare)
    if not _PLAIN.fullmatch(bare) and bare.lower().lstrip("+-") not in ("inf", "infinity"):
        raise ValueError(f"{text!r} is no number")
    return float(bare)


def numbers_of(texts: Iterable[str | None], *, decimal: str = ".") -> list[float | None] | None:
    """Return the numbers of a column, all whole or all not; None if it holds something else.

    Example:
        >>> numbers_of(["3", "?", "4"]), numbers_of(["1,5", "2"], decimal=","), numbers_of(["red"])
        ([3, None, 4], [1.5, 2.0], None)
    """
    found: list[float | None] = []
    grouped = either = False
    for text in texts:
        try:
            found.append(None if text is None else number_of(text, decimal=decimal))
        except ValueError:
            return None
        if decimal == "," and text is not None:
            bare = text.strip(_AROUND)
            grouped = grouped or _POINT_THOUSANDS.fullmatch(bare) is not None
            either = either or _EITHER.fullmatch(bare) is not None
    if all(value is None for value in found) or (grouped and either):
        return None
    if all(value is None or isinstance(value, int) for value in found):
        return found
    return [None if value is None else float(value) for value in found]


def has_decimal_comma(texts: Sequence[str]) -> bool:
    """Return whether a column of texts holds numbers that were written with decimal commas.

    Example:
        >>> has_decimal_comma(["80,5", "?", "7"]), has_decimal_comma(["a,b"])
        (True, False)
    """
    found = numbers_of(texts, decimal=",")
    return found is not None and any(_COMMA.search(text) for text in texts)
