from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from associated_learning.data import TextPreprocessor, Vocabulary, tokenize
from associated_learning.data.texts import text_preprocessor
from associated_learning.data.texts.tokenization import ALPHANUMERIC, TOKENS
from associated_learning.data.texts.vocabulary import UNK
from associated_learning.errors import InputError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The END.", "the end"),
        ("good<br /><br />film", "good film"),
        ('a <A HREF="http://x.y/z?q">link</A> b', "a link b"),
        ("fish &amp; chips &quot;now&quot;", "fish chips now"),
        ("&lt;b&gt;bold&lt;/b&gt;", "bold"),
        ("Wall St. Bears Claw Back (Reuters)\\Short-sellers", None),
        ("it #39;s quot;in quot; AT amp;T", "it s in at t"),
        ("movie's", "movie s"),
        ("does n't", "does n t"),
        ("1 < 2 and 3 > 2", "1 2 and 3 2"),
        ("snake_case", "snake case"),
        ("Cliché ÀÉ e\u0301", "cliché àé e\u0301"),
        ("映画。とてもGood", "映 画 と て も good"),
        ("รักเธอ", "ร ั ก เ ธ อ"),
        ("यह फिल्म अच्छी है।", "यह फिल्म अच्छी है"),
        ("مُحَمَّد رائع، جدا!", "مُحَمَّد رائع جدا"),
        ("שָׁלוֹם 한국어 می\u200cخواهم", "שָׁלוֹם 한국어 می\u200cخواهم"),  # noqa: RUF001
        ("fine👍👍❤️ 👩\u200d💻", "fine 👍 👍 ❤ 👩 💻"),
        ("well; it; is", "well it is"),
        ("", ""),
        (" ... !?", ""),
    ],
)
def test_words_of_a_text(text: str, words: str | None) -> None:
    expected = words or ""
    if words is None:
        expected = "wall st bears claw back reuters short sellers"
    assert tokenize(text) == expected.split()


@pytest.mark.parametrize("pattern", [ALPHANUMERIC, TOKENS])
def test_texts_are_cut_as_the_run_cut_them(pattern: str) -> None:
    made = TextPreprocessor.fit(["好看 fine"], token_pattern=pattern)
    again = TextPreprocessor.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.recognised(["好"])[0].values.tolist() == (
        [[UNK]] if pattern == ALPHANUMERIC else [[made.vocabulary.encode(["好"])[0]]]
    )
    assert ("token_pattern" in made.to_dict()) == (pattern == TOKENS)  # older runs tell none


@given(st.text())
def test_tokens_are_lower_case_words_and_stay_what_they_are(text: str) -> None:
    tokens = tokenize(text)
    assert all(token and not set(token) & set(" <>&;_'.,") for token in tokens)
    assert "".join(tokens).lower() == "".join(tokens)


def test_stop_words_are_those_of_scikit_learn() -> None:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    words = [*sorted(ENGLISH_STOP_WORDS), "film", "thinly"]
    assert tokenize(" ".join(words), remove_stop_words=True) == ["film", "thinly"]


def test_the_most_frequent_words_come_first_and_ties_in_alphabetical_order() -> None:
    texts = [["zoo", "pear", "fig", "fig"], ["pear", "fig", "apple"]]
    assert Vocabulary.build(texts).words == ("fig", "pear", "apple", "zoo")
    assert Vocabulary.build(reversed(texts)).words == ("fig", "pear", "apple", "zoo")
    assert Vocabulary.build(texts, size=3).words == ("fig", "pear", "apple")


def test_ids_begin_with_padding_and_unknown() -> None:
    vocabulary = Vocabulary(["fig", "pear"])
    assert len(vocabulary) == 4
    assert vocabulary.encode(["pear", "kiwi", "fig"]) == [3, 1, 2]
    assert vocabulary.decode([0, 1, 2, 3]) == ["[PAD]", "[UNK]", "fig", "pear"]
    assert "fig" in vocabulary
    assert "[PAD]" not in vocabulary


def test_a_text_to_predict_is_tokenised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    preprocessor = TextPreprocessor.fit(["a good film", "a bad film"])
    seen: list[str] = []

    def counted(text: str, **how: Any) -> list[str]:
        seen.append(text)
        return tokenize(text, **how)

    monkeypatch.setattr(text_preprocessor, "tokenize", counted)
    batch = preprocessor(["Bad film!", "Good?"])
    assert seen == ["Bad film!", "Good?"]
    assert batch.values.tolist() == [[4, 3], [5, 0]]
    assert preprocessor.recognised(["", "film"])[0].values.tolist() == [[1], [3]]


def test_a_text_that_no_network_could_hold_must_be_cut() -> None:
    book = "word " * (2**15 + 1)
    labels = torch.zeros(1, dtype=torch.int64)
    whole = TextPreprocessor.fit([book])
    with pytest.raises(InputError, match=r"a text of 32769 tokens came .* --max-length 512"):
        whole.samples([book], labels)
    with pytest.raises(InputError, match="a text of 32769 tokens came"):
        whole([book])
    assert whole.samples([book[5:]], labels).take(torch.tensor([0])).lengths.tolist() == [2**15]
    cut = TextPreprocessor.fit([book], max_length=3)
    assert cut.samples([book], labels).take(torch.tensor([0])).lengths.tolist() == [3]


def test_bad_vocabularies_are_refused() -> None:
    with pytest.raises(InputError, match="'fig' stands twice"):
        Vocabulary(["fig", "fig"])
    with pytest.raises(InputError, match="vocabulary size is 0"):
        Vocabulary.build([["fig"]], size=0)


@pytest.mark.parametrize("sign", ["<", "<!--", "<a", "&", "-->", "<!-->", "</"])
def test_a_long_run_of_markup_takes_linear_time(sign: str) -> None:
    begin = time.process_time()
    tokenize(sign * (10**6 // len(sign)))
    assert time.process_time() - begin < 5


@given(st.lists(st.sampled_from(["<!--", "-->", "<a", ">", "<", " x ", "--", "!", "</b"])))
def test_comments_go_as_by_a_pattern(parts: list[str]) -> None:
    text = "".join(parts)
    markup = re.compile(r"</?[a-z][^<>]*>|<!--.*?-->", re.DOTALL)
    assert tokenize(text) == tokenize(markup.sub(" ", text).replace("<", " "))
