"""Pretrained word vectors in GloVe's plain text format, aligned with a vocabulary."""

from __future__ import annotations

import gzip
import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import torch
from torch import Tensor

from associated_learning.data.keys import generator
from associated_learning.data.texts.vocabulary import PAD, Vocabulary
from associated_learning.errors import InputError

__all__ = ["KnownVectors", "Vectors", "find_vectors", "load_vectors"]


_LONGEST_LINE = 2**20  # characters: a word and a hundred thousand numbers
_UNREADABLE = (
    OSError, EOFError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error,
    RuntimeError, NotImplementedError,  # an encrypted zip, and one packed in a rare way
)  # fmt: skip


class Vectors(NamedTuple):
    """Weights for an embedding layer.

    Attributes:
        weights: ``[V, D]`` (float32); row ``i`` belongs to the word of id ``i``.
        coverage: Share of the vocabulary's words that the file has a vector for.
    """

    weights: Tensor
    coverage: float


class KnownVectors(NamedTuple):
    """What a file of vectors knows of a vocabulary.

    Attributes:
        ids: Ids ``[K]`` (int64) of the words that it has.
        values: Their vectors ``[K, D]`` (float32).
    """

    ids: Tensor
    values: Tensor

    def aligned(self, vocabulary: Vocabulary, *, seed: int = 0, scale: float = 0.05) -> Vectors:
        """Return vectors for the whole vocabulary; see `load_vectors`."""
        width = self.values.shape[1]
        weights = torch.randn(len(vocabulary), width, generator=generator(seed)) * scale
        weights[self.ids] = self.values
        weights[PAD] = 0
        return Vectors(weights, len(self.ids) / len(vocabulary.words))


def load_vectors(
    path: str | Path,
    vocabulary: Vocabulary,
    *,
    seed: int = 0,
    scale: float = 0.05,
    member: str | None = None,
) -> Vectors:
    r"""Return vectors whose rows stand in the order of ``vocabulary``.

    Row ``i`` is the file's vector of the word with id ``i``, its width that of the file.
    Padding is zero; ``[UNK]`` and words that the file lacks are normal, small and seeded.
    (The released code of the paper gives each id the vector of another word: its rows
    are shifted by the two special words.)

    Args:
        path: A text file, plain, ``.gz`` or ``.zip``; a word2vec header line is skipped.
        vocabulary: Whose words to look for.
        seed: Of the rows that the file lacks.
        scale: Standard deviation of those rows.
        member: Which file of a ``.zip`` that holds several.

    Raises:
        InputError: See `find_vectors`.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "vectors.txt")
        >>> _ = path.write_text("film 1 2\ngood 3 4\n")
        >>> vectors = load_vectors(path, Vocabulary(["good", "zebra"]))
        >>> vectors.weights[[0, 2]].tolist(), vectors.coverage
        ([[0.0, 0.0], [3.0, 4.0]], 0.5)
    """
    return find_vectors(path, vocabulary, member).aligned(vocabulary, seed=seed, scale=scale)


def find_vectors(
    path: str | Path, vocabulary: Vocabulary, member: str | None = None
) -> KnownVectors:
    """Return the vectors that a file has for the words of a vocabulary.

    Args:
        path: See `load_vectors`.
        vocabulary: Whose words to look for.
        member: Which file of a ``.zip`` that holds several.

    Raises:
        InputError: The file is missing or damaged, a line does not fit (names the line), or
            no word of the vocabulary is in it.
    """
    wanted = {word: i for i, word in enumerate(vocabulary.decode(range(len(vocabulary))))}
    found: dict[int, list[float]] = {}
    width = 0
    for number, word, values in _rows(Path(path), member):
        width = width or len(values)
        if word in vocabulary and wanted[word] not in found:
            found[wanted[word]] = _floats(values, path, number)
    if not found:
        raise InputError(
            f"no word of the vocabulary has a vector in {path}: is it a file of lower-case"
            " words, each with its numbers on one line?"
        )
    return KnownVectors(torch.tensor(list(found)), torch.tensor(list(found.values())))


def _rows(path: Path, member: str | None) -> Iterator[tuple[int, str, list[str]]]:
    """Yield (line number, word, values), all of the width of the first."""
    width = 0
    if path.exists() and not path.is_file():
        raise InputError(f"cannot read the word vectors {path}: it is no regular file")
    try:
        with _opened(path, member) as lines:
            for number, line in enumerate(_bounded(lines, path), start=1):
                fields = line.rstrip().split(" ")
                if number == 1 and len(fields) == 2 and all(f.isdecimal() for f in fields):
                    continue  # word2vec's header: how many words, how many numbers each
                width = width or len(fields) - 1
                # Some files have words with spaces in them; none of ours has, so skip these.
                if len(fields) > width + 1 and not _is_number(fields[-width - 1]):
                    continue
                if len(fields) != width + 1 or width == 0:
                    raise InputError(
                        f"line {number} of {path} has {len(fields) - 1} values: expected a"
                        f" word and {width or 'some'} numbers, parted by single spaces"
                    )
                yield number, fields[0], fields[1:]
    except _UNREADABLE as error:
        raise InputError(f"cannot read the word vectors {path}: {error}") from error


def _bounded(lines: IO[str], path: Path) -> Iterator[str]:
    """Yield lines; raise InputError for one without end, as a device or a packed bomb has."""
    while line := lines.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise InputError(
                f"a line of {path} has more than {_LONGEST_LINE} characters: is it a file of word"
                " vectors, one a line?"
            )
        yield line


@contextmanager
def _opened(path: Path, member: str | None) -> Iterator[IO[str]]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
            yield lines
    elif path.suffix == ".zip":
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(_member(archive, path, member)) as binary,
            io.TextIOWrapper(binary, encoding="utf-8", newline="\n") as lines,
        ):
            yield lines
    else:
        with path.open(encoding="utf-8", newline="\n") as lines:
            yield lines


def _member(archive: zipfile.ZipFile, path: Path, member: str | None) -> str:
    names = archive.namelist()
    if member is None and len(names) == 1:
        return names[0]
    if member not in names:
        raise InputError(f"{path} holds {', '.join(names)}: choose one of them as the member")
    return member


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _floats(values: list[str], path: str | Path, number: int) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except ValueError as error:
        raise InputError(f"line {number} of {path} holds no number: {error}") from error
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"line {number} of {path} holds NaN or infinity: mend the file")
    return numbers
