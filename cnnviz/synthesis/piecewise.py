"""The moments of a picture at some layers, put together from those of its pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from cnnviz.synthesis.moments import Moments, moments
from cnnviz.synthesis.pieces import Piece, Pieces, Size, region


class PiecewiseMoments:
    """Moments at ``layers``, each position weighed by ``mask`` (1, 1, H, W), of the picture's size, if there is one.

    Moments are averages, so those of the whole are the averages of the pieces', weighed by what counts in each.
    """

    def __init__(self, pieces: Pieces, layers: Sequence[str], mask: Tensor | None = None) -> None:
        self.layers = list(layers)
        self.masks = {layer: at_size(mask, pieces.sizes[layer]) for layer in layers}
        weights = {layer: [self._weight(layer, piece) for piece in pieces] for layer in layers}
        self.shares = {k: [w / max(sum(all_), 1e-8) for w in all_] for k, all_ in weights.items()}

    def of_piece(self, features: Mapping[str, Tensor], piece: Piece) -> list[Tensor]:
        """What a piece adds: mean and Gram matrix for each layer, to be summed over the pieces."""
        parts: list[Tensor] = []
        for layer in self.layers:
            mask, share = self.masks[layer], self.shares[layer][piece.number]
            found = moments(features[layer], None if mask is None else region(mask, piece.places[layer]))
            parts += [found.mean, found.gram] if share == 1 else [found.mean * share, found.gram * share]
        return parts

    def whole(self, sums: Sequence[Tensor]) -> dict[str, Moments]:
        """The moments by layer, from the sums over the pieces."""
        return {layer: Moments(*sums[2 * i : 2 * i + 2]) for i, layer in enumerate(self.layers)}

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
