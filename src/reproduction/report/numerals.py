"""Small numbers as words, for sentences."""

from __future__ import annotations

__all__ = ["spelled"]

_WORDS = (
    "none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
)  # fmt: skip


def spelled(count: int) -> str:
    """Return a number as a word up to twelve, in digits beyond.

    Example:
        >>> spelled(0), spelled(11), spelled(13)
        ('none', 'eleven', '13')
    """
    return _WORDS[count] if count < len(_WORDS) else str(count)
