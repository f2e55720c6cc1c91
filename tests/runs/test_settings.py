"""The settings of a run: decided once, the same in the help, and readable from older runs."""

from __future__ import annotations

import json
import re
import typing
from dataclasses import fields, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import associated_learning as al
from associated_learning.cli.main import app
from associated_learning.runs.ledger.rows import LedgerRow
from associated_learning.runs.settings.config import ResolvedConfig, RunConfig
from associated_learning.runs.settings.defaults import family_default
from associated_learning.runs.settings.model import FAMILIES
from associated_learning.runs.settings.resolved import resolved, restored
from associated_learning.runs.settings.unused import AL_ONLY
from associated_learning.state.sealed import unsealed
from ledger_rows import PLAIN, made_row

LEDGER = Path(__file__).parents[2] / "results" / "ledger.jsonl"
MODELS = [(model, method) for model in (*FAMILIES, "hf:bert") for method in ("al", "bp")]


@pytest.mark.parametrize(("model", "method"), MODELS)
def test_nothing_is_left_to_decide(model: str, method: str) -> None:
    found = resolved(RunConfig(model=model, method=method))
    hints = typing.get_type_hints(ResolvedConfig)
    for setting in fields(found):
        value = getattr(found, setting.name)
        assert value is not None or type(None) in typing.get_args(hints[setting.name])
    assert resolved(found) is found
    assert restored(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(("model", "method"), MODELS)
def test_what_is_given_counts_more_than_any_default(model: str, method: str) -> None:
    given = {"lr": 0.25, "epochs": 7, "batch_size": 9, "schedule": "cosine", "patience": 2}
    found = resolved(RunConfig(model=model, method=method, **given)).to_json()  # type: ignore[arg-type]
    assert {name: found[name] for name in given} == given


@pytest.mark.parametrize(("model", "method"), MODELS)
def test_the_help_tells_the_default_that_a_run_gets(model: str, method: str) -> None:
    found = resolved(RunConfig(model=model, method=method))
    decided = ResolvedConfig.__annotations__.keys() - (set(AL_ONLY) if method == "bp" else set())
    assert len(decided) > 7
    for name in (*decided, "hidden", "num_layers", "dropout", "encoder_lr"):
        if getattr(found, name) is not None:
            assert str(getattr(found, name)) in told(name, found.family), name


def told(setting: str, family: str) -> str:
    """Return what the help says of a setting for a family; what all share stands in front."""
    text = family_default(setting) or ""
    own = [part for part in re.split("[,;] ", text) if part.split(" ")[0] == family]
    return own[0] if own else re.split("; ", text)[0]


def test_the_help_shows_them() -> None:
    text = CliRunner().invoke(app, ["train", "--help"], terminal_width=300).output
    said = " ".join(text.replace("│", " ").split())
    for name in ("clip", "hidden", "schedule"):
        assert str(family_default(name)) in said
    growing = CliRunner().invoke(app, ["grow", "--help"], terminal_width=300).output
    assert "6; cnn and vgg all they have" in " ".join(growing.replace("│", " ").split())


@pytest.mark.parametrize("name", ["latent", "bridge_hidden", "coder_activation", "target_warmup"])
def test_a_default_of_al_is_still_refused_for_bp(name: str) -> None:
    value = getattr(resolved(RunConfig()), name)
    with pytest.raises(al.InputError, match="--method bp has no associated layers"):
        resolved(RunConfig(method="bp", **{name: value}))


def test_every_row_of_the_ledger_keeps_its_columns() -> None:
    """What was written by older versions comes out as it went in."""
    lines = LEDGER.read_text(encoding="utf-8").splitlines()
    assert len(lines) > 600
    for line in lines:
        columns = unsealed(json.loads(line))  # rows of now have a digest
        again = LedgerRow.from_json(columns).to_json()
        assert {name: again[name] for name in columns} == columns
        assert all(not again[name] for name in again.keys() - columns.keys() - {"tier"})


def test_settings_of_older_rows_are_read_or_named_as_foreign() -> None:
    read = foreign = 0
    for line in LEDGER.read_text(encoding="utf-8").splitlines():
        config = json.loads(line)["config"]
        try:
            found = restored(config)
        except al.CheckpointError:
            assert config.keys() - RunConfig.__dataclass_fields__.keys()
            foreign += 1
            continue
        read += 1
        told = found.to_json()
        shown = {name: value for name, value in config.items() if value not in (None, False)}
        assert all(told[name] == value for name, value in shown.items())
    assert read > 500, (read, foreign)


def test_a_row_that_contradicts_its_settings_is_refused() -> None:
    row = made_row()
    columns = {**row.to_json(), "seed": 1}
    with pytest.raises(al.InputError, match="seed is 1, but 0 in the config"):
        LedgerRow.from_json(columns)
    with pytest.raises(al.InputError, match="it has no settings"):
        LedgerRow.from_json([PLAIN])
    with pytest.raises(TypeError, match="colour"):
        LedgerRow.from_json({**row.to_json(), "colour": "red"})
    assert replace(row, variant="w").to_json()["variant"] == "w"
