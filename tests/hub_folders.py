"""Folders as models of transformers are published: a configuration, weights, a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "bad", "film", "##s", "##ly"]
BERT = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32,
    "vocab_size": len(WORDS), "max_position_embeddings": 24,
}  # fmt: skip
VIT = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 8, "patch_size": 4, "num_channels": 1,
}  # fmt: skip


def write_tokenizer(folder: Path, *, padding: str = "[PAD]", **settings: Any) -> Path:
    """Save a small WordPiece tokenizer."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    ids = {word: i for i, word in enumerate(WORDS)}
    own = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    own.normalizer = normalizers.Lowercase()
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(word, ids[word]) for word in ("[CLS]", "[SEP]")]
    own.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    if "truncation" in settings:  # as tokenizers of sentence encoders hold them
        own.enable_truncation(settings.pop("truncation"))
        own.enable_padding(length=64)
    folder.mkdir(parents=True, exist_ok=True)
    own.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": padding, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def write_config(folder: Path, kind: str = "bert", **sizes: Any) -> Path:
    """Save the configuration of a small model."""
    from transformers import AutoConfig

    own = {"bert": BERT, "vit": VIT}.get(kind, {})
    AutoConfig.for_model(kind, **{**own, **sizes}).save_pretrained(folder)
    return folder


def write_model(folder: Path, kind: str = "bert", **sizes: Any) -> Any:
    """Save a small model as it is published, a classifier on top, and return it."""
    import transformers

    name = {"bert": "BertForSequenceClassification", "vit": "ViTForImageClassification"}[kind]
    torch.manual_seed(7)
    config = transformers.AutoConfig.from_pretrained(write_config(folder, kind, **sizes))
    model = getattr(transformers, name)(config)
    model.save_pretrained(folder)
    return model.eval()


def write_films(path: Path, count: int = 60) -> Path:
    """Write a table of texts whose class a tiny model learns in some updates."""
    lines = [f"a {('good', 'bad')[i % 2]} film{'s' * (i % 3)},{i % 2}" for i in range(count)]
    path.write_text("text,label\n" + "\n".join(lines) + "\n")
    return path


STORY = ["the", "a", "cat", "dog", "sees", "likes", "."]


def write_causal(folder: Path, *, end: str | None = "<end>", **sizes: Any) -> Any:
    """Save a small GPT-2 as it is published, with a tokenizer of words, and return it."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    own = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate(["<end>", "<unk>", *STORY])}, "<unk>")
    )
    own.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {} if end is None else {"eos_token": end}
    transformers.PreTrainedTokenizerFast(tokenizer_object=own, **names).save_pretrained(folder)
    known = {"vocab_size": 12, "n_positions": 16, "n_embd": 16, "n_layer": 3, "n_head": 2}
    torch.manual_seed(7)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**{**known, "bos_token_id": 0, "eos_token_id": 0, **sizes})
    )
    model.save_pretrained(folder)
    return model.eval()


def write_stories(path: Path, count: int = 40) -> Path:
    """Write texts, one a line, in which a verb follows an animal."""
    animals, verbs = ("cat", "dog"), ("sees", "likes")
    lines = [
        f"the {animals[i % 2]} {verbs[i // 2 % 2]} a {animals[i // 4 % 2]} . " * 2
        for i in range(count)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_tagged(path: Path, count: int = 60, column: str = "tags") -> Path:
    """Write texts whose words have labels that follow from the words."""
    known = {"a": "O", "good": "ADJ", "bad": "ADJ", "films": "NOUN", "film": "NOUN"}
    lines = []
    for i in range(count):
        words = ["a", ("good", "bad")[i % 2], ("film", "films")[i // 2 % 2]][i % 3 % 2 :]
        lines.append(json.dumps({"tokens": words, column: [known[word] for word in words]}))
    path.write_text("\n".join(lines) + "\n")
    return path
