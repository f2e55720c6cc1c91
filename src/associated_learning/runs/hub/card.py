"""The model card of a trained prefix: what it is, how good it is, and how to use it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from associated_learning.errors import InputError
from associated_learning.runs.printable import markdown
from associated_learning.runs.result import RunResult
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import restored
from associated_learning.runs.tasks.metric import headline, shown_scores

__all__ = ["card_text", "figures_of"]

_HEAD = """---
library_name: associated-learning
{licence}pipeline_tag: {task}
tags: [associated-learning, local-learning, model_hub_mixin, pytorch_model_hub_mixin]
metrics: [{metric}]
---
"""

_TASKS = {"image": "image-classification", "text": "text-classification"}

_TEXT = """
# {title}

{method}, trained with `associated_learning`. This is {what}.

| | |
|---|---|
| data | {data} |
| {answers} | {classes} |
| layers | {depth} |
| parameters | {parameters:,} |
{figures}

## Use

```python
from associated_learning.runs.hub.pretrained import PretrainedModel

model = PretrainedModel.from_pretrained("THIS REPOSITORY, OR A FOLDER")
print(model.label({example}))
```

## How it was trained

Seed {seed}. Settings that are not the defaults of the library, and those that the model chose:

```json
{settings}
```

The best epoch was chosen on held-out training data, never on the test set. One run; other seeds
give other figures.

## Limits

{limits} It was tested on
the test set of its own data only.
"""

_LIMITS = {
    "classification": "It knows the classes named above and no others, and gives one of them to "
    "any input.",
    "multilabel": "It knows the labels named above and no others, and answers to any input.",
    "regression": "It tells a number for any input, in the units of its training data, also far "
    "from those.",
}
_ANSWERS = {"multilabel": "labels", "regression": "answer"}
_METRICS = {"regression": "r_squared", "multilabel": "f1"}  # as the hub names them

_METHODS = {
    "al": "A network without end-to-end backpropagation: Associated Learning (Wu, Lin, Chen and "
    "Chen, ICLR 2022)",
    "bp": "A network trained by end-to-end backpropagation",
}
_EXAMPLES = {"text": '["a gripping film"]', "image": '["picture.png"]', "table": "[[1.5, 2.0]]"}


def figures_of(config: RunConfig, result: RunResult | None, depth: int) -> dict[str, Any]:
    """Return what the card says of a run's result; nothing if it is not finished."""
    if result is None:
        return {}
    at, name = min(depth, len(result.test_scores)) - 1, headline(config)
    return {
        f"test {name}": round(shown_scores(config, result.test_scores)[at], 4),
        f"validation {name}": round(shown_scores(config, result.validation_scores)[at], 4),
        "best epoch": f"{result.best_epoch} of {result.epochs}",
        "training": f"{result.seconds:.0f} s on {result.hardware}",
        "torch": result.torch,
        "code": f"commit {result.commit}",
    }


def card_text(
    described: dict[str, Any],
    depth: int,
    parameters: int,
    figures: dict[str, Any],
    licence: str | None = None,
) -> str:
    """Return the card as Markdown, with the metadata block of the Hugging Face hub.

    Args:
        described: The run's description, as JSON-able values.
        depth: Number of layers that the model has.
        parameters: Number of its parameters.
        figures: See `figures_of`.
        licence: Under which the weights are given away, such as "apache-2.0"; None names none,
            since that of this library's code says nothing of them.

    Raises:
        InputError: The licence is no identifier.
    """
    settings = {k: v for k, v in described["config"].items() if v is not None}
    config = restored(described["config"])
    kind, data = described["inputs"]["kind"], markdown(Path(config.data).stem)
    default = RunConfig().to_json()
    changed = {k: v for k, v in settings.items() if v != default[k] and k != "data_root"}
    rows = "\n".join(f"| {markdown(k)} | {markdown(v)} |" for k, v in figures.items())
    prefix = f"the first {depth} layer{'s' * (depth > 1)} with their exit, a model of its own"
    task = config.task
    head = _HEAD.format(
        task=_tag(kind, task), licence=_line(licence), metric=_METRICS.get(task, "accuracy")
    )
    names = ", ".join(map(markdown, described["label_names"]))
    return head + _TEXT.format(
        title=f"{markdown(config.model_name)} on {data}, depth {depth}",
        method=_METHODS[config.method],
        what=prefix if config.method == "al" else "the whole network",
        data=data,
        answers=_ANSWERS.get(task, "classes"),
        classes=names or "a number",
        limits=_LIMITS.get(task, _LIMITS["classification"]),
        depth=depth,
        parameters=parameters,
        figures=rows,
        example=_EXAMPLES[kind],
        seed=config.seed,
        settings=_in_a_block({**changed, "data": Path(config.data).stem}),
    )


def _tag(kind: str, task: str) -> str:
    """Return what the hub calls such a task."""
    if task == "regression":
        return "tabular-regression" if kind == "table" else "other"
    return _TASKS.get(kind, "tabular-classification")


def _in_a_block(settings: dict[str, Any]) -> str:
    """Return JSON that does not end the block of code that it stands in."""
    text = json.dumps(settings, indent=1)
    return text.replace("`", "\\u0060").replace("<", "\\u003c")


def _line(licence: str | None) -> str:
    """Return the line of the metadata that names a licence."""
    if licence is None:
        return ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", licence):
        raise InputError(
            f"license {licence!r} came; expected an identifier as the Hugging Face hub has them, "
            "such as apache-2.0, cc-by-4.0 or other."
        )
    return f"license: {licence.lower()}\n"
