"""EfficientNet-Lite2 (Tan and Le, 2019; the Lite variants: TensorFlow TPU, 2020).

Lite means: no squeeze-and-excitation, ReLU6 for swish, stem and head of fixed width.
Module names are those of the published state dict, so that it loads strictly.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

# Kernel, stride, expansion, output channels, repeats: B0's stages at width 1.1, depth 1.2.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 3),
    (5, 2, 6, 48, 3),
    (3, 2, 6, 88, 4),
    (5, 1, 6, 120, 4),
    (5, 2, 6, 208, 5),
    (3, 1, 6, 352, 1),
)
STEM, HEAD, CLASSES, EPSILON = 32, 1280, 1000, 1e-3


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON)


class _SameConv2d(nn.Conv2d):
    """A convolution padded like TensorFlow's SAME, because the weights come from TensorFlow.

    The padding depends on the input's side, which is fixed here, and is one pixel
    wider at the right and the bottom where it is odd.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, side: int, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        before, after = total // 2, total - total // 2
        self.edges = (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(functional.pad(x, self.edges))
        return y


class _Block(nn.Module):
    """An inverted residual: expand, convolve each channel, project."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, side: int
    ) -> None:
        super().__init__()
        width = inputs * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = _conv(inputs, width)
            self._bn0 = _norm(width)
        self._depthwise_conv = _SameConv2d(width, width, kernel, stride, side, groups=width)
        self._bn1 = _norm(width)
        self._project_conv = _conv(width, outputs)
        self._bn2 = _norm(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        out: Tensor = x + y if self.residual else y
        return out


class EfficientNetLite2(nn.Module):
    """The classifier: normalised pixels (n, 3, side, side) to logits (n, 1000)."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self._conv_stem = _SameConv2d(3, STEM, 3, 2, side)
        self._bn0 = _norm(STEM)
        side = math.ceil(side / 2)
        blocks: list[_Block] = []
        inputs = STEM
        for kernel, first_stride, expansion, outputs, repeats in STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                blocks.append(_Block(inputs, outputs, kernel, stride, expansion, side))
                inputs, side = outputs, math.ceil(side / stride)
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = _conv(inputs, HEAD)
        self._bn1 = _norm(HEAD)
        self._fc = nn.Linear(HEAD, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        x = self._blocks(x)
        x = functional.relu6(self._bn1(self._conv_head(x)))
        logits: Tensor = self._fc(x.mean((2, 3)))
        return logits
