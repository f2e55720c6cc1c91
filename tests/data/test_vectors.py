from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest
import torch

from associated_learning.data import Vocabulary, load_vectors
from associated_learning.errors import InputError

LINES = ["the 0.1 -0.25 3e-05", "film 1.5 2.5 3.5", "good -1 -2 -3", "a b c 7 8 9"]
ROWS = {"the": [0.1, -0.25, 3e-05], "film": [1.5, 2.5, 3.5], "good": [-1.0, -2.0, -3.0]}
WORDS = ["good", "zebra", "film", "quagga", "the"]


def write(path: Path, lines: list[str]) -> Path:
    text = "".join(f"{line}\n" for line in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("vectors.txt", text)
    else:
        path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.txt.gz", "vectors.zip"])
def test_the_row_of_a_word_is_the_vector_of_that_word(tmp_path: Path, name: str) -> None:
    vocabulary = Vocabulary(WORDS)
    weights, coverage = load_vectors(write(tmp_path / name, LINES), vocabulary)
    assert weights.shape == (7, 3)
    assert weights.dtype == torch.float32
    for word, row in ROWS.items():
        (i,) = vocabulary.encode([word])
        assert torch.equal(weights[i], torch.tensor(row))
    assert coverage == 3 / 5


def test_padding_is_zero_and_missing_words_are_small_random_and_seeded(tmp_path: Path) -> None:
    path = write(tmp_path / "vectors.txt", [f"the {' '.join(['1'] * 200)}"])
    vocabulary = Vocabulary(["the", "zebra", "quagga"])
    weights = load_vectors(path, vocabulary, seed=3, scale=0.01).weights
    assert torch.equal(weights[0], torch.zeros(200))
    assert len({tuple(row.tolist()) for row in weights}) == 5
    for row in weights[[1, 3, 4]]:
        assert 0.008 < float(row.std()) < 0.012
    assert torch.equal(load_vectors(path, vocabulary, seed=3, scale=0.01).weights, weights)
    assert not torch.equal(load_vectors(path, vocabulary, seed=4, scale=0.01).weights, weights)


def test_the_header_of_word2vec_is_skipped_and_the_first_of_two_rows_counts(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "vectors.txt", ["2 3", *LINES[:2], "film 9 9 9"])
    weights = load_vectors(path, Vocabulary(["film"])).weights
    assert weights[2].tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([LINES[0], "film 1.5 2.5"], "line 2 of .* has 2 values: expected a word and 3"),
        ([LINES[0], "film 1.5 2.5 3 4"], "line 2 of .* has 4 values: expected a word and 3"),
        (["film"], "line 1 of .* has 0 values"),
        ([LINES[0], "film 1.5 x 3.5"], "line 2 of .* holds no number"),
        ([LINES[0], "film 1.5 nan 3.5"], "line 2 of .* holds NaN"),
        (["zoo 1 2 3"], "no word of the vocabulary has a vector"),
        ([], "no word of the vocabulary has a vector"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_vectors(write(tmp_path / "vectors.txt", lines), Vocabulary(["film"]))


def test_an_absent_truncated_or_foreign_file_is_refused(tmp_path: Path) -> None:
    vocabulary = Vocabulary(["film"])
    packed = write(tmp_path / "vectors.gz", LINES)
    packed.write_bytes(packed.read_bytes()[:-12])
    foreign = tmp_path / "vectors.zip"
    foreign.write_bytes(b"no archive")
    binary = tmp_path / "vectors.bin"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    for path in (tmp_path / "absent.txt", packed, foreign, binary):
        with pytest.raises(InputError, match="cannot read the word vectors"):
            load_vectors(path, vocabulary)


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    """Packed into little, or a device."""
    bomb = tmp_path / "vectors.gz"
    bomb.write_bytes(gzip.compress(bytes(2**21)))
    with pytest.raises(InputError, match=r"a line of .* has more than 1048576 characters"):
        load_vectors(bomb, Vocabulary(["film"]))
    with pytest.raises(InputError, match="/dev/zero: it is no regular file"):
        load_vectors("/dev/zero", Vocabulary(["film"]))


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vectors.txt", "film 1 2\n")
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + place] |= 1  # as encryption is told
    path.write_bytes(content)
    with pytest.raises(InputError, match="is encrypted"):
        load_vectors(path, Vocabulary(["film"]))


def test_of_an_archive_with_several_files_one_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "vectors.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("two.txt", "film 1 2\n")
        archive.writestr("three.txt", "film 1 2 3\n")
    with pytest.raises(InputError, match=r"holds two\.txt, three\.txt: choose one"):
        load_vectors(path, Vocabulary(["film"]))
    assert load_vectors(path, Vocabulary(["film"]), member="three.txt").weights.shape == (3, 3)
