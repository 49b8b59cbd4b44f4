"""``nn.Sequential`` whose ReLUs write less memory, with the same values and gradients to the last bit.

A network that was traced runs as a graph, in which ``graph_rewrites.fuse_inplace_relu`` does the same; a single pass is
done before there is one.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from cnnviz.network.module_copy import has_hooks

_NEW_OUTPUT = (nn.Conv2d, nn.BatchNorm2d)
"""Modules whose output is a new tensor that their gradient does not need."""


class Sequential(nn.Sequential):
    """``nn.Sequential`` in which ReLUs run after max pooling, on a quarter of the values, or overwrite their input.

    It has its parent's name, which users see in lists of layers. Modules with hooks run as they are.
    """

    def forward(self, input: Any) -> Any:
        if type(input) is not Tensor:  # a torch.fx proxy, for one
            return super().forward(input)
        x, waiting, is_new = input, False, False
        for module in self:
            if waiting:
                pools = type(module) is nn.MaxPool2d and not module.return_indices and not has_hooks(module)
                x = F.relu(module(x), inplace=True) if pools else module(F.relu(x, inplace=is_new))
                is_new = waiting = False
            elif type(module) is nn.ReLU and not has_hooks(module):
                waiting = True
            else:
                x = module(x)
            if not waiting:
                is_new = isinstance(module, _NEW_OUTPUT) and not has_hooks(module)
        return F.relu(x, inplace=is_new) if waiting else x


def use_fast_sequences(module: nn.Module) -> None:
    """Make every ``nn.Sequential`` inside ``module`` the ``Sequential`` of this file, in place."""
    for child in module.modules():
        if type(child) is nn.Sequential:
            child.__class__ = Sequential
