"""The moments of a picture at some layers, put together from those of its pieces."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from cnnviz.synthesis.feature_statistics import Moments, moments
from cnnviz.synthesis.tiling import Piece, Pieces, Size, Sums, region


class PiecewiseMoments:
    """Moments at ``layers``, each position weighed by ``mask`` (1, 1, H, W), of the picture's size, if there is one.

    Moments are averages, so those of the whole are the averages of the pieces', weighed by what counts in each.
    """

    def __init__(self, pieces: Pieces, layers: Sequence[str], mask: Tensor | None = None) -> None:
        self.layers = list(layers)
        self.masks = {layer: at_size(mask, pieces.sizes[layer]) for layer in layers}
        weights = {layer: [self._weight(layer, piece) for piece in pieces] for layer in layers}
        self.shares = {k: [w / max(sum(all_), 1e-8) for w in all_] for k, all_ in weights.items()}

    def of_piece(self, layer: str, maps: Tensor, piece: Piece) -> list[Tensor]:
        """What a piece adds to a layer's mean and Gram matrix; nothing where the layer is none of these."""
        if layer not in self.masks:
            return []
        mask, share = self.masks[layer], self.shares[layer][piece.number]
        found = moments(maps, None if mask is None else region(mask, piece.places[layer]))
        return [found.mean, found.gram] if share == 1 else [found.mean * share, found.gram * share]

    def whole(self, sums: Sums, first: int = 0) -> dict[str, Moments]:
        """The moments by layer, from the sums over the pieces, of which theirs are the ``first`` and the next."""
        return {layer: Moments(*sums[layer][first : first + 2]) for layer in self.layers}

    def _weight(self, layer: str, piece: Piece) -> float:
        """What the positions of a piece count for."""
        mask = self.masks[layer]
        if mask is not None:
            return float(region(mask, piece.places[layer]).sum())
        rows, columns = piece.places[layer]
        return float((rows.stop - rows.start) * (columns.stop - columns.start))


def at_size(mask: Tensor | None, size: Size) -> Tensor | None:
    """A mask (1, 1, H, W) at another size, each of its values the mean of what it covers; None stays None."""
    if mask is None or tuple(mask.shape[2:]) == tuple(size):
        return mask
    return F.interpolate(mask, size, mode="area")
