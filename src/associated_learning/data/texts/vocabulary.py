"""The vocabulary: which words have an id of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from associated_learning.errors import InputError

__all__ = ["PAD", "UNK", "Vocabulary"]

PAD, UNK = 0, 1
_SPECIAL = ("[PAD]", "[UNK]")


class Vocabulary:
    """Words and their ids: 0 is ``[PAD]``, 1 is ``[UNK]``, then the words in order.

    Args:
        words: The words without the two special ones, most frequent first.

    Raises:
        InputError: A word stands twice.

    Example:
        >>> vocabulary = Vocabulary.build([["a", "b", "a"], ["c", "b", "a"]], size=2)
        >>> vocabulary.words, vocabulary.encode(["b", "zebra", "a"])
        (('a', 'b'), [3, 1, 2])
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words: tuple[str, ...] = tuple(words)
        self._ids = {word: i for i, word in enumerate((*_SPECIAL, *self.words))}
        if len(self._ids) != len(self):
            twice = next(w for w, n in Counter((*_SPECIAL, *self.words)).items() if n > 1)
            raise InputError(f"the word {twice!r} stands twice in the vocabulary")

    @classmethod
    def build(cls, texts: Iterable[Iterable[str]], size: int = 30_000) -> Vocabulary:
        """Return the ``size`` most frequent words of tokenised texts.

        Words of equal frequency stand in alphabetical order, so the order of the texts does
        not matter. Paper section 6.6: 30k words of the training corpus, the rest ``[UNK]``.

        Raises:
            InputError: ``size`` is below 1.
        """
        if size < 1:
            raise InputError(f"vocabulary size is {size}: expected 1 or more words")
        counts: Counter[str] = Counter()
        for tokens in texts:
            counts.update(tokens)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(word for word, _ in ranked[:size])

    def __len__(self) -> int:
        return len(_SPECIAL) + len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids and word not in _SPECIAL

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self.words)} words)"

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the ids of ``tokens``; unknown ones become ``UNK``."""
        get = self._ids.get
        return [get(token, UNK) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the words of ``ids``, the special ones as ``[PAD]`` and ``[UNK]``."""
        table: Sequence[str] = (*_SPECIAL, *self.words)
        return [table[i] for i in ids]
