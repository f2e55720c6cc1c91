"""A trained prefix as a model of the Hugging Face hub: safetensors, JSON and a card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.data import preprocessor_from_dict
from associated_learning.errors import needs_extra
from associated_learning.network import Network
from associated_learning.runs.exits.temperatures import check_temperature, temperature_of
from associated_learning.runs.folder.description import (
    Description,
    description_from_json,
    description_to_json,
    read_description,
)
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.hub.card import card_text, figures_of
from associated_learning.runs.hub.exported import (
    foreign,
    load_strictly,
    local_folder,
    read_exported,
    write_exported_config,
)
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.result import read_result
from associated_learning.state.files import read_json
from associated_learning.targets import MultiLabel, Prediction, Regression
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.nested import to_device

with needs_extra("hf", "a model as the Hugging Face hub has them"):
    from huggingface_hub import ModelCard, PyTorchModelHubMixin

__all__ = ["PretrainedModel"]


class PretrainedModel(nn.Module, PyTorchModelHubMixin):  # type: ignore[misc,unused-ignore]
    """The first layers of a run, with all that labelling raw inputs needs.

    ``save_pretrained(folder)`` and ``push_to_hub(name)`` are those of
    `huggingface_hub.PyTorchModelHubMixin`. A folder holds ``model.safetensors``, ``config.json``
    and a filled ``README.md``. To read one, nothing is unpickled, and all tensors must be there.

    Args:
        described: The description of a run, as JSON-able values.
        preprocessing: Of its inputs, as JSON-able values.
        depth: Number of layers.
        figures: What the card says of the result.
        temperature: What logits are divided by before they are read as probabilities.

    Attributes:
        label_names: Name of each class or label.
        target_scale: By what the targets of a regression were standardised.

    Example:
        >>> from associated_learning.runs.hub.pretrained import PretrainedModel
        >>> model = PretrainedModel.from_run("runs/sst2-bilstm-al-0", depth=2)  # doctest: +SKIP
        >>> model.save_pretrained("sst2-small")  # doctest: +SKIP
    """

    def __init__(
        self,
        described: dict[str, Any],
        preprocessing: dict[str, Any],
        depth: int,
        figures: dict[str, Any] | None = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        description = description_from_json(described)
        net = _fresh(description)
        self.described, self.depth, self.figures = described, depth, figures or {}
        self.temperature = check_temperature(temperature)
        self.label_names = description.label_names
        self.target_scale = description.spec.target_scale
        self.target = net.target
        self.model = net.prefix(depth)
        self.preprocessor = preprocessor_from_dict(preprocessing)

    @classmethod
    def from_run(cls, folder: Path | str, depth: int | None = None) -> PretrainedModel:
        """Return the model of a run, with its best weights.

        Args:
            folder: Of the run.
            depth: 1 to the run's number of layers; that which was best on validation by default.

        Raises:
            CheckpointError: It is no run, or a file of it is truncated or foreign.
            InputError: The depth is out of range.
        """
        folder = Path(folder)
        opened = open_run(folder)
        net, depth = opened.net, opened.depth(depth)
        made = cls(
            description_to_json(read_description(folder)),
            read_json(folder / "preprocessing.json"),
            depth,
            figures_of(opened.config, read_result(folder), depth),
            temperature_of(folder, depth),
        )
        made.model.load_state_dict(net.prefix(depth).state_dict())
        return made.eval()

    @classmethod
    def from_pretrained(  # type: ignore[override,unused-ignore]
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        map_location: str | torch.device = "cpu",
        **options: Any,
    ) -> PretrainedModel:
        """Return the model of a folder, or of a name on the Hugging Face hub.

        Args:
            pretrained_model_name_or_path: The folder or name.
            map_location: Device of its weights.
            options: Those of `huggingface_hub.snapshot_download`, such as revision and token.

        Raises:
            CheckpointError: A file is missing, truncated, changed or foreign, or tensors are
                missing, unknown or of other shapes; names them.
        """
        folder = local_folder(pretrained_model_name_or_path, **options)
        values, weights = read_exported(folder)
        try:
            made = cls(**values)
        except (
            TypeError,
            KeyError,
            ValueError,
            AttributeError,
            RuntimeError,
            MemoryError,
        ) as error:
            raise foreign(folder, error) from error
        load_strictly(made, weights, folder)
        return made.to(map_location).eval()

    def _save_pretrained(self, save_directory: Path) -> None:
        super()._save_pretrained(save_directory)
        values: dict[str, Any] = {
            "described": self.described,
            "preprocessing": self.preprocessor.to_dict(),
        }
        values |= {"depth": self.depth, "figures": self.figures}
        values["temperature"] = self.temperature
        write_exported_config(save_directory, values)

    def forward(self, x: Any) -> Tensor:
        """Return ``t'_0``, ``[B, classes]``, of a batch as `preprocessor` makes it."""
        output: Tensor = self.model(x)
        return output

    def predict(self, inputs: list[Any]) -> Prediction:
        """Label texts, image files, or rows of numbers; a regression answers in the user's units.

        Raises:
            InputError: There is no input, or one cannot be read.
        """
        with evaluating(self):
            x = to_device(self.preprocessor(inputs), device_of(self))
            found = self.target.calibrated(self(x), self.temperature)
        if isinstance(self.target, Regression):
            return found._replace(labels=self.target_scale.in_units(found.labels))
        return found

    def label(self, inputs: list[Any]) -> list[Any]:
        """Return the name of each input's class; the names of all its labels; or its number.

        Raises:
            InputError: There is no input, or one cannot be read.
        """
        labels = self.predict(inputs).labels
        if isinstance(self.target, Regression):
            return labels.flatten().tolist()
        if isinstance(self.target, MultiLabel):
            return [[self.label_names[i] for i in row.nonzero().flatten()] for row in labels]
        return [self.label_names[i] for i in labels.tolist()]

    def generate_model_card(self, *_: Any, license: str | None = None, **__: Any) -> ModelCard:
        """Return the card that `save_pretrained` writes.

        Args:
            license: Its identifier on the hub; none is named unless it is given, as by
                ``save_pretrained(folder, model_card_kwargs={"license": "apache-2.0"})``.

        Raises:
            InputError: The licence is no identifier.
        """
        parameters = sum(parameter.numel() for parameter in self.parameters())
        return ModelCard(card_text(self.described, self.depth, parameters, self.figures, license))


def _fresh(description: Description) -> Network:
    """Build the network; its weights are overwritten, so the random state is left alone."""
    config, spec, _, backbone = description
    with torch.random.fork_rng(devices=[]):
        return build_network(config, spec, backbone=backbone)
