"""Models of timm and torchvision, where these are installed beside a torch that they work with."""

from __future__ import annotations

import copy
import importlib
from typing import Any

import pytest
import torch
from torch import nn

import associated_learning as al
from conversion.oracle import TARGET, chained, into_head

TIMM = ["resnet18", "vit_tiny_patch16_224", "convnext_atto", "mixer_s32_224", "efficientnet_b0"]
TORCHVISION = ["resnet18", "densenet121", "mobilenet_v3_small", "googlenet", "shufflenet_v2_x0_5"]


def working(package: str) -> Any:
    """Return a package; skip where it is missing, or fails against this torch."""
    try:
        return importlib.import_module(package)
    except Exception as error:  # torchvision's operators ask for the torch they were built with
        pytest.skip(f"{package} does not work here: {type(error).__name__}")


def check(model: nn.Module, head: str) -> None:
    x = torch.randn(2, 3, 224, 224)
    untouched = copy.deepcopy(model).eval()
    net = al.convert(model, x, target=TARGET, at=2).eval()
    with torch.no_grad():
        assert torch.equal(chained(net, x[:1]), into_head(untouched, x[:1], head))


@pytest.mark.parametrize("name", TIMM)
def test_timm(name: str) -> None:
    model = working("timm").create_model(name, num_classes=3)
    check(model, _classifier(model))


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name: str) -> None:
    settings = {"init_weights": True} if name == "googlenet" else {}
    model = working("torchvision").models.get_model(name, weights=None, num_classes=3, **settings)
    check(model, _classifier(model))


def _classifier(model: nn.Module) -> str:
    """Return the name of the last linear map."""
    return [name for name, part in model.named_modules() if isinstance(part, nn.Linear)][-1]
