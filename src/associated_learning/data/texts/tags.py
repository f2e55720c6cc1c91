"""Texts with a label for every word, as tokens in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from associated_learning.data.samples import IGNORED, TextSamples
from associated_learning.data.texts.subword import SubwordPreprocessor
from associated_learning.data.texts.text_preprocessor import TextPreprocessor
from associated_learning.data.texts.tokenization import ALPHANUMERIC
from associated_learning.data.texts.vocabulary import Vocabulary
from associated_learning.errors import InputError
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["TagPreprocessor", "TagSamples", "TaggedText"]


class TaggedText(NamedTuple):
    """The words of a text, and a class number for each; `IGNORED` where it has none."""

    words: Sequence[str]
    tags: Sequence[int]


@dataclass(frozen=True, kw_only=True, eq=False)
class TagSamples(TextSamples):
    """Texts whose tokens have labels of their own.

    Attributes:
        tags: The label of each of ``tokens`` (int64), `IGNORED` where it does not count.

    Example:
        >>> import torch
        >>> samples = TagSamples(
        ...     tokens=torch.tensor([5, 6, 7], dtype=torch.int32), offsets=torch.tensor([0, 2, 3]),
        ...     labels=torch.zeros(2, dtype=torch.int64), tags=torch.tensor([1, 0, 1]),
        ... )
        >>> samples.targets(torch.tensor([1, 0])).tolist()
        [[1, -100], [1, 0]]
    """

    tags: Tensor

    def targets(self, indices: Tensor) -> Tensor:
        """Return the labels of all tokens, ``[B, T]`` (int64), as the texts are padded."""
        texts = replace(self, tokens=self.tags, padding=IGNORED)
        return texts.gather(indices).values

    def subset(self, indices: Tensor) -> Self:
        """Return new samples: those at ``indices``, in that order."""
        chosen = TextSamples.subset(replace(self, tokens=self.tags), indices)
        return replace(TextSamples.subset(self, indices), tags=chosen.tokens)


@dataclass(frozen=True, kw_only=True)
class TagPreprocessor:
    """Makes tokens of words; the label of a word is that of its first token.

    Its other tokens, and special ones, do not count.

    Attributes:
        words: What makes tokens of a word: the vocabulary of the training words, in lower case, or
            a pretrained model's own tokenizer, which may cut a word into pieces.

    Example:
        >>> preprocessor = TagPreprocessor(words=TextPreprocessor(vocabulary=Vocabulary(["a"])))
        >>> text = TaggedText(["A", "b"], [1, 0])
        >>> samples = preprocessor.samples([text], torch.zeros(1))
        >>> samples.tokens.tolist(), samples.tags.tolist()
        ([2, 1], [1, 0])
    """

    kind: ClassVar[str] = "tags"
    words: TextPreprocessor | SubwordPreprocessor

    @classmethod
    def fit(
        cls, texts: Sequence[TaggedText], *, vocabulary_size: int, max_length: int | None
    ) -> TagPreprocessor:
        """Return a preprocessor with the vocabulary of ``texts``, the training split.

        Args:
            texts: The texts.
            vocabulary_size: Most frequent words that get an id of their own.
            max_length: Most tokens a text keeps, from its start.
        """
        lower = ([word.lower() for word in text.words] for text in texts)
        vocabulary = Vocabulary.build(lower, vocabulary_size)
        # words come as they are, so that no pattern cuts them
        words = TextPreprocessor(
            vocabulary=vocabulary, max_length=max_length, token_pattern=ALPHANUMERIC
        )
        return cls(words=words)

    @property
    def max_length(self) -> int | None:
        """Most tokens a text keeps; None keeps all."""
        return self.words.max_length

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids."""
        if isinstance(self.words, SubwordPreprocessor):
            return self.words.vocabulary_size
        return len(self.words.vocabulary)

    def samples(self, inputs: Sequence[TaggedText], labels: Tensor) -> TagSamples:
        """Return texts with the labels of their tokens in memory."""
        ids, tags = [], []
        words = [text.words for text in inputs]
        for text, (tokens, owners) in zip(inputs, self._tokens(words), strict=True):
            ids.append(tokens)
            tags += [IGNORED if i is None else text.tags[i] for i in _firsts(owners)]
        texts = TextSamples.of(ids, labels, padding=self._padding)
        return TagSamples(**vars(texts), tags=torch.from_numpy(np.array(tags, dtype=np.int64)))

    def __call__(self, inputs: Sequence[Sequence[str]]) -> PaddedSequence:
        """Return the words of texts as ids ``[B, T]`` with their lengths.

        Raises:
            InputError: There is no text, or one without words.
        """
        _check_words(inputs)
        return self._batch(self._tokens(inputs))

    def placed(self, inputs: Sequence[Sequence[str]]) -> tuple[PaddedSequence, list[list[int]]]:
        """Return the words of texts as ids, and where the first token of each word stands.

        Raises:
            InputError: A word has no token, because the text is too long or the word is nothing
                that the tokenizer knows; names it.
        """
        _check_words(inputs)
        tokens, found = list(self._tokens(inputs)), []
        for number, (words, (_, owners)) in enumerate(zip(inputs, tokens, strict=True)):
            place = {i: p for p, i in enumerate(_firsts(owners)) if i is not None}
            lost = [i for i in range(len(words)) if i not in place]
            if lost:
                raise InputError(
                    f"word {lost[0]} of text {number} ({words[lost[0]]!r}) has no token: expected "
                    f"texts of at most {self.max_length or 'any number of'} tokens, and words "
                    "with letters or signs. Divide the text, or leave the word out"
                )
            found.append([place[i] for i in range(len(words))])
        return self._batch(tokens), found

    def to_dict(self) -> dict[str, Any]:
        """Return everything to rebuild this, as values that JSON can hold."""
        return {"kind": self.kind, "words": self.words.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TagPreprocessor:
        """Rebuild what `to_dict` gave."""
        own = values["words"]
        kinds: tuple[type[Any], ...] = (TextPreprocessor, SubwordPreprocessor)
        kind = next(kind for kind in kinds if kind.kind == own["kind"])
        return cls(words=kind.from_dict(own))

    def _batch(self, texts: Iterable[tuple[list[int], list[int | None]]]) -> PaddedSequence:
        return TextSamples.batch([tokens for tokens, _ in texts], padding=self._padding)

    @property
    def _padding(self) -> int:
        return self.words.padding if isinstance(self.words, SubwordPreprocessor) else 0

    def _tokens(
        self, texts: Sequence[Sequence[str]]
    ) -> Iterator[tuple[list[int], list[int | None]]]:
        """Yield the ids of each text, and the word that each is of; None for special tokens."""
        if isinstance(self.words, SubwordPreprocessor):
            for encoding in self.words.encodings([list(words) for words in texts], words=True):
                yield encoding.ids or [self.words.nothing], encoding.word_ids or [None]
            return
        for words in texts:
            kept = words[: self.max_length]
            ids = self.words.vocabulary.encode(word.lower() for word in kept)
            yield ids, list(range(len(kept)))


def _firsts(owners: Sequence[int | None]) -> list[int | None]:
    """Return the word of each token where it is the first of that word, else None."""
    before = [None, *owners[:-1]]
    return [i if i != last else None for i, last in zip(owners, before, strict=True)]


def _check_words(inputs: Sequence[Sequence[str]]) -> None:
    if isinstance(inputs, str) or not inputs:
        raise InputError("expected a list of one or more texts, each a list of its words")
    for number, words in enumerate(inputs):
        whole = not isinstance(words, str) and all(isinstance(word, str) for word in words)
        if not whole or not len(words):
            raise InputError(f"text {number} is {words!r}: expected a list of one or more words")
