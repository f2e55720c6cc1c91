"""Texts to the token ids of a pretrained model's own tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from associated_learning.data.samples import TextSamples
from associated_learning.data.texts.text_preprocessor import RecognisedTexts, check_texts
from associated_learning.errors import InputError, needs_extra
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["SubwordPreprocessor", "load_tokenizer"]

_WHAT = "the tokenizer of a pretrained model"

_CHUNK = 4096  # texts at a time, so that their encodings never hold a whole set in memory


@dataclass(frozen=True, kw_only=True)
class SubwordPreprocessor(RecognisedTexts):
    """Tokenises as the model's own tokenizer does, special tokens added.

    Attributes:
        tokenizer: The tokenizer in the JSON of the library `tokenizers`, so that a run's folder
            suffices to rebuild it.
        max_length: Most tokens a text keeps, special ones among them; None keeps all.
        padding: Token id of the padding on the right.

    Example:
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> own = Tokenizer(models.WordLevel({"[UNK]": 0, "good": 1, "film": 2}, "[UNK]"))
        >>> own.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> preprocessor = SubwordPreprocessor(tokenizer=own.to_str())
        >>> preprocessor(["good film", "film"]).values.tolist()
        [[1, 2], [2, 0]]
    """

    kind: ClassVar[str] = "subword"
    unit: ClassVar[str] = "token"
    tokenizer: str = field(repr=False)  # half a million characters are nothing to show
    max_length: int | None = None
    padding: int = 0

    def __post_init__(self) -> None:
        special = self._own.num_special_tokens_to_add(False)
        if self.max_length is not None and self.max_length <= special:
            raise InputError(
                f"max_length is {self.max_length}: expected more than the {special} special "
                "tokens that the tokenizer adds to a text"
            )

    @classmethod
    def load(cls, place: str | Path, *, max_length: int | None = None) -> SubwordPreprocessor:
        """Read the tokenizer in a folder, or of a name on the Hugging Face hub.

        Args:
            place: Folder with the files of a tokenizer, or a name on the hub.
            max_length: Most tokens of a text; None takes the tokenizer's own limit.

        Raises:
            InputError: There is no tokenizer, or none that the library `tokenizers` can hold.
        """
        return cls.of(load_tokenizer(place), max_length=max_length)

    @classmethod
    def of(cls, loaded: Any, *, max_length: int | None = None) -> SubwordPreprocessor:
        """Take over the tokenizer that `load_tokenizer` gave.

        Args:
            loaded: The tokenizer.
            max_length: Most tokens of a text; None takes the tokenizer's own limit.
        """
        own = json.loads(loaded.backend_tokenizer.to_str())
        limits = [loaded.model_max_length, (own["truncation"] or {}).get("max_length")]
        # transformers writes 10^30 where a tokenizer knows no limit
        limit = min((n for n in limits if n is not None and n < 10**9), default=None)
        own["truncation"] = own["padding"] = None
        return cls(
            tokenizer=json.dumps(own),
            max_length=limit if max_length is None else max_length,
            padding=loaded.pad_token_id or 0,
        )

    def of_words(self) -> SubwordPreprocessor:
        """Return the tokenizer for texts that come word by word.

        One that tells words by the space before them then puts a space before each.
        """
        own = json.loads(self.tokenizer)
        before = own.get("pre_tokenizer") or {}
        for part in [before, *before.get("pretokenizers", [])]:
            if part.get("type") == "ByteLevel":
                part["add_prefix_space"] = True
        return replace(self, tokenizer=json.dumps(own))

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, added ones among them."""
        size: int = self._own.get_vocab_size()
        return size

    @property
    def nothing(self) -> int:
        """Token id that stands for a text without any token."""
        return self.padding if self._unknown is None else self._unknown

    def cutting(self) -> dict[str, Any]:
        """Return the tokenizer in the JSON of the library `tokenizers`, `max_length` included."""
        own: dict[str, Any] = json.loads(self._own.to_str())
        return own

    def samples(self, inputs: Iterable[str], labels: Tensor) -> TextSamples:
        """Return texts and labels in memory.

        A text without any token is kept as a single unknown one, so that no sample of a data
        set is lost; at prediction the same text is an error.
        """
        ids = (encoding.ids or [self.nothing] for encoding in self.encodings(list(inputs)))
        return TextSamples.of(ids, labels, padding=self.padding)

    def encodings(
        self, texts: Sequence[str] | Sequence[Sequence[str]], *, words: bool = False
    ) -> Iterator[Any]:
        """Yield what the library `tokenizers` makes of each text.

        Args:
            texts: The texts.
            words: Whether each comes as a list of its words.
        """
        how = {"is_pretokenized": True} if words else {}
        for start in range(0, len(texts), _CHUNK):
            yield from self._own.encode_batch(texts[start : start + _CHUNK], **how)

    def decoded(self, ids: Sequence[int]) -> str:
        """Return token ids as a text, without special tokens."""
        text: str = self._own.decode(list(ids))
        return text

    def recognised(self, inputs: Sequence[str]) -> tuple[PaddedSequence, list[bool]]:
        check_texts(inputs)
        encodings = list(self.encodings(inputs))
        ids = [encoding.ids or [self.nothing] for encoding in encodings]
        return TextSamples.batch(ids, padding=self.padding), list(map(self._is_known, encodings))

    def to_dict(self) -> dict[str, Any]:
        """Return everything to rebuild this, as values that JSON can hold."""
        return {
            "kind": self.kind,
            "max_length": self.max_length,
            "padding": self.padding,
            "tokenizer": json.loads(self.tokenizer),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SubwordPreprocessor:
        """Rebuild what `to_dict` gave."""
        return cls(
            tokenizer=json.dumps(values["tokenizer"]),
            max_length=values["max_length"],
            padding=values["padding"],
        )

    @cached_property
    def _own(self) -> Any:
        with needs_extra("hf", _WHAT):
            from tokenizers import Tokenizer
        try:
            own = Tokenizer.from_str(self.tokenizer)
        except Exception as error:  # the library raises nothing more special
            raise InputError(
                f"the tokenizer cannot be read ({error}); expected the JSON of the library "
                "tokenizers, of a version not newer than the one here"
            ) from error
        if self.max_length is not None:
            own.enable_truncation(self.max_length)
        return own

    @cached_property
    def _unknown(self) -> int | None:
        model = json.loads(self.tokenizer)["model"]
        token = model.get("unk_token")
        found: int | None = model.get("unk_id") if token is None else self._own.token_to_id(token)
        return found

    def _is_known(self, encoding: Any) -> bool:
        added = encoding.special_tokens_mask  # such as [CLS], which every text has
        own = (token for token, one in zip(encoding.ids, added, strict=True) if not one)
        return any(token != self._unknown for token in own)


def load_tokenizer(place: str | Path) -> Any:
    """Return a tokenizer of transformers that is backed by the library `tokenizers`.

    Args:
        place: Folder with its files, or a name on the Hugging Face hub.

    Raises:
        InputError: There is none.
    """
    with needs_extra("hf", _WHAT):
        from transformers import AutoTokenizer
    try:
        loaded = AutoTokenizer.from_pretrained(str(place), trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise InputError(
            f"{place} holds no tokenizer that can be read ({error}); expected its files, such as "
            "tokenizer.json"
        ) from error
    if getattr(loaded, "backend_tokenizer", None) is None:
        raise InputError(
            f"the tokenizer in {place} ({type(loaded).__name__}) is written in Python; expected "
            "one that the library tokenizers can hold, with a tokenizer.json"
        )
    return loaded
