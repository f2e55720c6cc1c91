"""Texts without labels, as blocks whose labels are the tokens that come next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from associated_learning.data import BlockPreprocessor, BlockSamples, preprocessor_from_dict
from associated_learning.data.reading.plain_texts import read_texts
from associated_learning.errors import InputError
from hub_folders import STORY, write_causal, write_tokenizer


@pytest.mark.parametrize("count", [2, 5, 8, 9, 10])
def test_every_token_but_the_first_is_asked_for_once(count: int) -> None:
    row = torch.arange(10, 10 + count)
    samples = BlockSamples.of(row, block_size=4)
    kept = samples.labels >= 0
    assert samples.labels[kept].tolist() == row[1:].tolist()
    assert samples.tokens[kept].tolist() == row[:-1].tolist()
    assert samples.tokens.shape[1] == 4
    one = samples.subset(torch.tensor([len(samples) - 1]))
    assert torch.equal(one.take(torch.tensor([0]))[0], samples.tokens[-1].long())


def blocks(folder: Path, *, block_size: int = 4) -> BlockPreprocessor:
    return BlockPreprocessor.load(folder, block_size=block_size, width=12, longest=16)


def row_of(samples: BlockSamples) -> list[int]:
    first = int(samples.tokens[0, 0])
    return [first, *samples.labels[samples.labels >= 0].tolist()]


def test_texts_stand_one_behind_the_other_with_an_end_between(tmp_path: Path) -> None:
    write_causal(tmp_path)
    made = blocks(tmp_path)
    ids = {word: i for i, word in enumerate(["<end>", "<unk>", *STORY])}
    samples = made.samples(["the cat", "a bird ."], torch.zeros(2))
    assert row_of(samples) == [ids[w] for w in ("the", "cat", "<end>", "a", "<unk>", ".", "<end>")]
    assert made(["the cat"]).tolist() == [[ids["the"], ids["cat"]]]
    assert preprocessor_from_dict(made.to_dict()) == made


def test_tokens_that_end_a_text_are_no_part_of_a_beginning(tmp_path: Path) -> None:
    """[CLS] stands before a text that is to go on, [SEP] does not stand behind it."""
    made = blocks(write_tokenizer(tmp_path))
    assert made(["good film"]).tolist() == [[2, 5, 7]]
    assert row_of(made.samples(["good", "bad"], torch.zeros(2))) == [2, 5, 3, 2, 6, 3]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_causal(tmp_path)
    made = blocks(tmp_path)
    with pytest.raises(InputError, match="0 tokens; expected two or more"):
        made.samples([], torch.zeros(0))
    with pytest.raises(InputError, match="has no token"):
        made([" "])
    with pytest.raises(InputError, match="a list of one text"):
        made(["a", "the"])
    with pytest.raises(InputError, match=r"blocks of 17 tokens .* positions for 16"):
        replace(made, block_size=17)
    with pytest.raises(InputError, match=r"9 token ids, the model's head answers 8"):
        replace(made, width=8)


def test_texts_are_parted_by_empty_lines_or_by_lines(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("one\ntwo\n \nthree\n\n\nfour\n")
    assert read_texts(file).splits["train"].inputs == ["one\ntwo", "three", "four"]
    file.write_text("one\ntwo\nthree\n")
    assert read_texts(file).splits["train"].inputs == ["one", "two", "three"]


def test_texts_are_read_from_a_column(tmp_path: Path) -> None:
    file, other = tmp_path / "texts.jsonl", tmp_path / "other.txt"
    file.write_text('{"n": 1, "text": "a b"}\n{"n": 2, "text": "c"}\n')
    other.write_text("d\n")
    raw = read_texts(file, test_data=other)
    assert [raw.splits[name].inputs for name in ("train", "test")] == [["a b", "c"], ["d"]]


def test_texts_that_are_not_there_are_told(tmp_path: Path) -> None:
    single, table = tmp_path / "one.txt", tmp_path / "two.csv"
    single.write_text("a single text\n")
    table.write_text("title,text\na,b\nc,d\n")
    with pytest.raises(InputError, match="holds 1 texts; expected three or more"):
        read_texts(single)
    with pytest.raises(InputError, match="'title', 'text': choose the text column"):
        read_texts(table)
    with pytest.raises(InputError, match="a plain text; leave it out"):
        read_texts(single, text_column="text")
    with pytest.raises(InputError, match="expected a file that ends in one of"):
        read_texts(tmp_path)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as a text in UTF-8"):
        read_texts(tmp_path / "bytes.txt")
    with pytest.raises(InputError, match=r"there is no data set, file or folder 'absent\.txt'"):
        read_texts("absent.txt")
