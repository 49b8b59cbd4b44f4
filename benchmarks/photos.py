"""What the benchmarks look at: sample photos as pixels, and networks as a peer's users have them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

import cnnviz
from cnnviz.network.network import Network

SAMPLES = Path(__file__).parents[1] / "sample_images"


def photo(size: int | tuple[int, int], device: torch.device, name: str = "chelsea.png") -> Tensor:
    """A photo (1, 3, H, W) of this shorter side, or of this height and width; square where one number is given."""
    whole = (size, size) if isinstance(size, int) else size
    return cnnviz.read_image(SAMPLES / name, size=whole).to(device)


class Plain(nn.Module):
    """torchvision's own module with a network's weights, and normalisation before it: pixels -> logits.

    Layout and parameters are as torchvision leaves them: contiguous, and wanting gradients.
    """

    def __init__(self, network: Network) -> None:
        import torchvision

        super().__init__()
        self.module = torchvision.models.get_model(network.name, weights=None)
        self.module.load_state_dict(network.module.state_dict())
        for name, values in (("mean", network.spec.mean), ("std", network.spec.std)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1))
        self.eval().to(network.device)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.module((pixels - self.mean) / self.std)
