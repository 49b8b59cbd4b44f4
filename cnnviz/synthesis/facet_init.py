"""Initial images for the facets of a class: means of clusters of photos that activate it."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.errors import UsageError

_NEAREST = 15
"""Photos in a mean, as in the paper."""


def facet_starts(pixels: Tensor, scores: Tensor, vectors: Tensor, count: int, *, seed: int = 0) -> Tensor:
    """The mean photos (count, 3, H, W) of clusters of photos that activate a class, the largest cluster first.

    Nguyen, Yosinski & Clune, "Multifaceted Feature Visualization", ICML workshop 2016, arXiv:1602.03616. The clusters
    are k-means in the network's own features; the paper first reduces the features by PCA and t-SNE, which needs
    more photos than usually available.

    Args:
        pixels: photos (M, 3, H, W) in [0, 1], all of one size.
        scores: (M,) how strongly each activates the class; the better half is used.
        vectors: (M, D) each photo's features.
        count: how many facets.
        seed: of k-means.

    Raises:
        UsageError: fewer photos than facets.
    """
    from sklearn.cluster import KMeans

    kept = scores.argsort(descending=True)[: max(count, (len(scores) + 1) // 2)]
    if len(kept) < count:
        raise UsageError(f"{count} facets need at least {count} photos, but there are {len(kept)}.")
    points = vectors[kept].double().numpy()
    clusters = KMeans(count, n_init=10, random_state=seed).fit(points)
    sizes = torch.bincount(torch.from_numpy(clusters.labels_).long(), minlength=count)
    distances = torch.from_numpy(clusters.transform(points))
    means = []
    for cluster in sizes.argsort(descending=True, stable=True).tolist():
        members = (torch.from_numpy(clusters.labels_) == cluster).nonzero()[:, 0]
        nearest = members[distances[members, cluster].argsort()[:_NEAREST]]
        means.append(pixels[kept[nearest]].mean(0))
    return torch.stack(means)
