"""The first principal component of feature maps, as a map."""

from __future__ import annotations

import torch
from torch import Tensor


def principal_map(maps: Tensor) -> Tensor:
    """Each image's feature maps (N, K, h, w) projected on their first principal component, (N, 1, h, w).

    Positions are the samples and channels the variables, centered. The sign, which is arbitrary, is the one in which
    the projection goes up with the sum over channels. It is computed in double precision on the CPU, since not every
    device has that.
    """
    values = maps.flatten(2).cpu().double().transpose(1, 2)
    values = values - values.mean(1, keepdim=True)
    found = torch.stack([_projection(each) for each in values])
    total = values.sum(2)
    agreement = (found * total).sum(1, keepdim=True)
    return (found * torch.where(agreement < 0, -1.0, 1.0)).view(len(maps), 1, *maps.shape[2:]).to(maps)


def _projection(values: Tensor) -> Tensor:
    """Samples (P, K), centered, projected on their first principal component, (P,): by the smaller Gram matrix."""
    samples, variables = values.shape
    if samples <= variables:
        squares, vectors = torch.linalg.eigh(values @ values.T)
        return vectors[:, -1] * squares[-1].clamp_min(0).sqrt()
    return values @ torch.linalg.eigh(values.T @ values).eigenvectors[:, -1]
