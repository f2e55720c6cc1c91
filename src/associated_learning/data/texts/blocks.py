"""Texts as blocks of tokens, each with the token that comes next as its label."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from associated_learning.data.samples import IGNORED, StoredSamples
from associated_learning.data.texts.subword import SubwordPreprocessor, load_tokenizer
from associated_learning.errors import InputError

__all__ = ["BlockPreprocessor", "BlockSamples"]

_NUMBERS = ("block_size", "width", "longest", "end")


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockSamples(StoredSamples[Tensor]):
    """Blocks of one long row of tokens, and the same row one token later.

    The last block is filled up; what stands there has the label `IGNORED`. So every token but the
    first is asked for once.

    Attributes:
        tokens: ``[N, T]`` (int32).
        labels: ``[N, T]`` (int64): the token after each.

    Example:
        >>> import torch
        >>> samples = BlockSamples.of(torch.tensor([5, 6, 7, 8, 9, 3]), block_size=3)
        >>> samples.tokens.tolist(), samples.labels.tolist()
        ([[5, 6, 7], [8, 9, 9]], [[6, 7, 8], [9, 3, -100]])
    """

    _stored: ClassVar = ("tokens",)
    tokens: Tensor

    @classmethod
    def of(cls, row: Tensor, block_size: int) -> Self:
        """Return the blocks of a row of two tokens or more ``[n]``."""
        here, following = row[:-1], row[1:].long()
        count = -(-len(here) // block_size)
        missing = count * block_size - len(here)
        # any known token: no position that counts sees what stands behind it
        here = torch.cat([here, here[-1:].expand(missing)])
        following = torch.cat([following, torch.full((missing,), IGNORED)])
        return cls(
            tokens=here.int().view(count, block_size), labels=following.view(count, block_size)
        )

    def gather(self, indices: Tensor) -> Tensor:
        """Return ids ``[B, T]`` (int64)."""
        return self.tokens.index_select(0, indices.to(self.tokens.device)).long()


@dataclass(frozen=True, kw_only=True)
class BlockPreprocessor:
    """Tokenises as a language model's own tokenizer does, and cuts blocks.

    Attributes:
        tokenizer: The tokenizer; it cuts no text.
        block_size: Number of tokens in a block.
        width: Number of tokens that the model's head can answer.
        longest: Most tokens that the model reads; None for any number.
        end: Token id that stands behind a text, where the tokenizer knows one.

    Raises:
        InputError: A block is longer than the model reads, or the head lacks tokens.

    Example:
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> own = Tokenizer(models.WordLevel({"[UNK]": 0, "good": 1, "film": 2}, "[UNK]"))
        >>> own.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> tokenizer = SubwordPreprocessor(tokenizer=own.to_str())
        >>> blocks = BlockPreprocessor(tokenizer=tokenizer, block_size=2, width=3)
        >>> blocks.samples(["good film", "good"], torch.zeros(2)).labels.tolist()
        [[2, 1]]
    """

    kind: ClassVar[str] = "blocks"
    tokenizer: SubwordPreprocessor
    block_size: int
    width: int
    longest: int | None = None
    end: int | None = None

    def __post_init__(self) -> None:
        if self.longest is not None and self.block_size > self.longest:
            raise InputError(
                f"blocks of {self.block_size} tokens came for a model that has positions for "
                f"{self.longest}; ask for at most those (--block-size)."
            )
        if self.vocabulary_size > self.width:
            raise InputError(
                f"the tokenizer has {self.vocabulary_size} token ids, the model's head answers "
                f"{self.width}; expected no more ids than that. Is the tokenizer that of the model?"
            )

    @classmethod
    def load(
        cls, place: str | Path, *, block_size: int, width: int, longest: int | None
    ) -> BlockPreprocessor:
        """Read the tokenizer in a folder, or of a name on the Hugging Face hub.

        Args:
            place: Folder with the files of a tokenizer, or a name on the hub.
            block_size: Number of tokens in a block.
            width: Number of tokens that the model's head can answer.
            longest: Most tokens that the model reads.

        Raises:
            InputError: There is no tokenizer, or none that the library `tokenizers` can hold; or
                it does not fit.
        """
        loaded = load_tokenizer(place)
        return cls(
            tokenizer=replace(SubwordPreprocessor.of(loaded), max_length=None),
            block_size=block_size,
            width=width,
            longest=longest,
            end=loaded.eos_token_id,
        )

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, added ones among them."""
        return self.tokenizer.vocabulary_size

    def samples(self, inputs: Iterable[str], labels: Tensor) -> BlockSamples:
        """Return texts, one behind the other, as blocks in memory.

        Raises:
            InputError: All texts together have not two tokens.
        """
        row = array("i")
        for encoding in self.tokenizer.encodings(list(inputs)):
            row.extend(encoding.ids)
            if self.end is not None and encoding.ids and encoding.ids[-1] != self.end:
                row.append(self.end)
        if len(row) < 2:
            raise InputError(
                f"the texts of a split have {len(row)} tokens; expected two or more, of which one "
                "follows another. Give more texts."
            )
        return BlockSamples.of(torch.from_numpy(np.array(row, dtype=np.int32)), self.block_size)

    def __call__(self, inputs: Sequence[str]) -> Tensor:
        """Return the one text that is to be continued, as ids ``[1, T]``.

        Raises:
            InputError: It is none, or has no token.
        """
        if isinstance(inputs, str) or len(inputs) != 1 or not isinstance(inputs[0], str):
            raise InputError("expected a list of one text, which is to be continued")
        encoding = next(self.tokenizer.encodings(inputs))
        ids, special = encoding.ids, encoding.special_tokens_mask
        while ids and special[len(ids) - 1]:  # such as [SEP], which ends a text
            ids = ids[:-1]
        if not ids:
            raise InputError(f"the text {inputs[0][:40]!r} has no token; give one to go on from")
        return torch.tensor([ids])

    def to_dict(self) -> dict[str, Any]:
        """Return everything to rebuild this, as values that JSON can hold."""
        return {
            "kind": self.kind,
            "tokenizer": self.tokenizer.to_dict(),
            **{name: getattr(self, name) for name in _NUMBERS},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BlockPreprocessor:
        """Rebuild what `to_dict` gave."""
        return cls(
            tokenizer=SubwordPreprocessor.from_dict(values["tokenizer"]),
            **{name: values[name] for name in _NUMBERS},
        )
