"""Texts to padded token ids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from associated_learning.data.samples import TextSamples
from associated_learning.data.texts.tokenization import ALPHANUMERIC, TOKENS, tokenize
from associated_learning.data.texts.vocabulary import UNK, Vocabulary
from associated_learning.errors import InputError
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["RecognisedTexts", "TextPreprocessor", "check_texts"]

_LONGEST = 2**15  # tokens of a text that is not cut: a batch of 64 with one fills gigabytes


class RecognisedTexts(ABC):
    """Makes numbers of texts, and refuses one of which it knows nothing."""

    unit: ClassVar[str]  # what it knows: words or tokens

    @abstractmethod
    def recognised(self, inputs: Sequence[str]) -> tuple[PaddedSequence, list[bool]]:
        """Return texts as ids ``[B, T]``, and whether something of each is known.

        Raises:
            InputError: No text, or something that is no text.
        """

    def __call__(self, inputs: Sequence[str]) -> PaddedSequence:
        """Return texts as ids ``[B, T]`` with their lengths.

        Raises:
            InputError: No text, something that is no text, or one of which nothing is known.
        """
        batch, known = self.recognised(inputs)
        for i, text in enumerate(inputs):
            if not known[i]:
                lacks = f"no known {self.unit}" if text.strip() else "no word at all"
                raise InputError(f"text {i} has {lacks} ({text[:40]!r}): leave it out")
        return batch


@dataclass(frozen=True, kw_only=True)
class TextPreprocessor(RecognisedTexts):
    """Tokenises, cuts after ``max_length`` words, and looks up ids.

    Attributes:
        vocabulary: Of the training split.
        max_length: Most tokens a text keeps, from its start; None keeps all.
        remove_stop_words: See `tokenize`; the same for training and prediction.
        token_pattern: Likewise.

    Example:
        >>> preprocessor = TextPreprocessor.fit(["a good film", "a bad film"])
        >>> preprocessor(["Bad film!", "Good?"]).values.tolist()
        [[4, 3], [5, 0]]
    """

    kind: ClassVar[str] = "text"
    unit: ClassVar[str] = "word"
    vocabulary: Vocabulary
    max_length: int | None = None
    remove_stop_words: bool = False
    token_pattern: str = TOKENS

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 1:
            raise InputError(f"max_length is {self.max_length}: expected 1 or more tokens")

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        *,
        vocabulary_size: int = 30_000,
        max_length: int | None = None,
        remove_stop_words: bool = False,
        token_pattern: str = TOKENS,
    ) -> TextPreprocessor:
        """Return a preprocessor whose vocabulary is that of ``texts``, the training split.

        Words are counted in whole texts, also beyond ``max_length``.

        Raises:
            InputError: No text has a word, or a setting is out of range.
        """
        how: dict[str, Any] = {
            "remove_stop_words": remove_stop_words,
            "token_pattern": token_pattern,
        }
        tokens = (tokenize(text, **how) for text in texts)
        vocabulary = Vocabulary.build(tokens, vocabulary_size)
        if not vocabulary.words:
            raise InputError("no training text has a word: is the text column the right one?")
        return cls(vocabulary=vocabulary, max_length=max_length, **how)

    def samples(self, inputs: Iterable[str], labels: Tensor) -> TextSamples:
        """Return texts and labels in memory.

        A text without any word (after cleaning) is kept as a single ``[UNK]``, so that no
        sample of a data set is lost; at prediction the same text is an error.

        Raises:
            InputError: A text is too long to be taken whole, and ``max_length`` is not set.
        """
        return TextSamples.of((self._ids(text) or [UNK] for text in inputs), labels)

    def recognised(self, inputs: Sequence[str]) -> tuple[PaddedSequence, list[bool]]:
        check_texts(inputs)
        ids = [self._ids(text) for text in inputs]
        known = [any(token != UNK for token in one) for one in ids]
        return TextSamples.batch([one or [UNK] for one in ids]), known

    def to_dict(self) -> dict[str, Any]:
        """Return everything to rebuild this, as values that JSON can hold."""
        pattern = (
            {} if self.token_pattern == ALPHANUMERIC else {"token_pattern": self.token_pattern}
        )
        return {
            "kind": self.kind,
            "max_length": self.max_length,
            "remove_stop_words": self.remove_stop_words,
            **pattern,  # which those of older runs did not tell
            "words": list(self.vocabulary.words),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TextPreprocessor:
        """Rebuild what `to_dict` gave."""
        return cls(
            vocabulary=Vocabulary(values["words"]),
            max_length=values["max_length"],
            remove_stop_words=values["remove_stop_words"],
            token_pattern=values.get("token_pattern", ALPHANUMERIC),
        )

    def _ids(self, text: str) -> list[int]:
        tokens = tokenize(
            text, remove_stop_words=self.remove_stop_words, token_pattern=self.token_pattern
        )
        if self.max_length is None and len(tokens) > _LONGEST:
            raise InputError(
                f"a text of {len(tokens)} tokens came ({text[:40]!r}...): expected {_LONGEST} at "
                "most, because networks hold all of a text in memory. Cut texts (max_length=512, "
                "--max-length 512), or leave it out"
            )
        return self.vocabulary.encode(tokens[: self.max_length])


def check_texts(inputs: Sequence[str]) -> None:
    """Raise InputError unless inputs are a list of one or more texts."""
    if isinstance(inputs, str) or not inputs:
        raise InputError("expected a list of one or more texts")
    for i, text in enumerate(inputs):
        if not isinstance(text, str):
            raise InputError(f"input {i} is {type(text).__name__}: expected a text")
