"""Plain torch networks for images, ``[B, 3, 16, 16] -> [B, classes]``."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["DenselyConnected", "Inception", "LeNet", "MLPMixer", "ResidualCNN", "UNet", "plain_cnn"]


def _conv(in_channels: int, out_channels: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Make a convolution with BatchNorm and a ReLU that works in place."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def plain_cnn(classes: int) -> nn.Sequential:
    """Make one flat list of modules; every third one changes its input in place."""
    widths = [3, 16, 16, 32, 32]
    convolutions = [_conv(a, b, 1 + i % 2) for i, (a, b) in enumerate(pairwise(widths))]
    modules = [module for convolution in convolutions for module in convolution]
    readout = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(32, classes)]
    return nn.Sequential(*modules, *readout)


class _ResidualBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        activated: Tensor = self.relu(out)
        return activated


class ResidualCNN(nn.Module):
    """A ResNet as in torchvision: sums in place, one ReLU used twice in a block."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = _conv(3, 16)
        self.layer1 = _ResidualBlock(16, 16, 1)
        self.layer2 = _ResidualBlock(16, 32, 2)
        self.layer3 = _ResidualBlock(32, 48, 2)
        self.fc = nn.Linear(48, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.stem(x))))
        x = torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1)
        logits: Tensor = self.fc(x)
        return logits


class LeNet(nn.Module):
    """As in torch's own example for MNIST: pooling and activations are functions."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3)
        self.dropout1, self.dropout2 = nn.Dropout(0.1), nn.Dropout(0.1)
        self.fc1, self.fc2 = nn.Linear(32 * 36, 64), nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv1(x))
        x = self.dropout1(functional.max_pool2d(functional.relu(self.conv2(x)), 2))
        x = self.dropout2(functional.relu(self.fc1(torch.flatten(x, 1))))
        return functional.log_softmax(self.fc2(x), dim=1)


class _DenseBlock(nn.Module):
    def __init__(self, channels: int, growth: int, count: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_conv(channels + i * growth, growth) for i in range(count))

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for conv in self.convs:
            features.append(conv(torch.cat(features, 1)))
        return torch.cat(features, 1)


class DenselyConnected(nn.Module):
    """Dense blocks: inside one, each convolution sees all before it (Huang et al., 2017)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = _conv(3, 16)
        self.block1 = _DenseBlock(16, 8, 3)
        self.transition = nn.Sequential(_conv(40, 20, kernel=1), nn.AvgPool2d(2))
        self.block2 = _DenseBlock(20, 8, 3)
        self.norm = nn.BatchNorm2d(44)
        self.classifier = nn.Linear(44, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block2(self.transition(self.block1(self.stem(x))))
        logits: Tensor = self.classifier(self.norm(x).relu().mean((2, 3)))
        return logits


class _InceptionBlock(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.point = _conv(channels, width, kernel=1)
        self.small = nn.Sequential(_conv(channels, width, kernel=1), _conv(width, width))
        self.large = nn.Sequential(_conv(channels, width, kernel=1), _conv(width, width, kernel=5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.point(x), self.small(x), self.large(x)], dim=1)


class Inception(nn.Module):
    """Branches that part and meet again; an output beside the logits, as in GoogLeNet."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = _conv(3, 16)
        self.block1 = _InceptionBlock(16, 8)
        self.pool = nn.MaxPool2d(2)
        self.block2 = _InceptionBlock(24, 12)
        self.block3 = _InceptionBlock(36, 12)
        self.head = nn.Linear(36, classes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.block3(self.block2(self.pool(self.block1(self.stem(x)))))
        features = x.mean((2, 3))
        return {"logits": self.head(features), "features": features}


class UNet(nn.Module):
    """Connections that jump over the middle; one score a pixel, averaged over the image."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.inc = nn.Sequential(_conv(3, 8), _conv(8, 8))
        self.down1 = nn.Sequential(nn.MaxPool2d(2), _conv(8, 16), _conv(16, 16))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), _conv(16, 32), _conv(32, 32))
        self.up1 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.conv1 = nn.Sequential(_conv(32, 16), _conv(16, 16))
        self.up2 = nn.ConvTranspose2d(16, 8, 2, 2)
        self.conv2 = nn.Sequential(_conv(16, 8), _conv(8, 8))
        self.outc = nn.Conv2d(8, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        top = self.inc(x)
        middle = self.down1(top)
        bottom = self.down2(middle)
        middle = self.conv1(torch.cat([middle, self.up1(bottom)], 1))
        top = self.conv2(torch.cat([top, self.up2(middle)], 1))
        scores: Tensor = self.outc(top).mean((2, 3))
        return scores


class _MixerBlock(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(tokens, 32), nn.GELU(), nn.Linear(32, tokens))
        self.channels = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = x + self.channels(self.norm2(x))
        return mixed


class MLPMixer(nn.Module):
    """Patches mixed by dense maps over tokens and over channels."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 4, 4)
        self.blocks = nn.ModuleList(_MixerBlock(16, 32) for _ in range(4))
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x).mean(1))
        return logits
