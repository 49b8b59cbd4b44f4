"""LeNet-5, the small network of the courses.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998).
As courses teach it: ReLU and max pooling instead of the paper's scaled tanh and trainable subsampling, full
connections from S2 to C3, and a linear output layer instead of radial basis functions.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


class LeNet5(nn.Module):
    """Pixels (N, ``channels``, 32, 32) -> logits (N, ``num_classes``)."""

    def __init__(self, num_classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, 6, kernel_size=5),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(6, 16, kernel_size=5),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
            )
        )
        self.classifier = nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                fc3=nn.Linear(16 * 5 * 5, 120),
                relu3=nn.ReLU(),
                fc4=nn.Linear(120, 84),
                relu4=nn.ReLU(),
                fc5=nn.Linear(84, num_classes),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
