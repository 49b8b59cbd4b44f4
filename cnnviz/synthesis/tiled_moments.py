"""The moments of a picture at some layers, put together from those of its pieces."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from cnnviz.synthesis.feature_statistics import Moments, moments
from cnnviz.synthesis.tiling import Size, Tile, TileGrid, TileSums, crop_window


class TiledMoments:
    """Moments at ``layers``, each position weighed by ``mask`` (1, 1, H, W), of the picture's size, if there is one.

    Moments are averages, so those of the whole are the averages of the pieces', weighed by what counts in each.
    """

    def __init__(self, tiles: TileGrid, layers: Sequence[str], mask: Tensor | None = None) -> None:
        self.layers = list(layers)
        self.masks = {layer: at_size(mask, tiles.sizes[layer]) for layer in layers}
        weights = {layer: [self._weight(layer, tile) for tile in tiles] for layer in layers}
        self.shares = {k: [w / max(sum(all_), 1e-8) for w in all_] for k, all_ in weights.items()}

    def of_tile(self, layer: str, maps: Tensor, tile: Tile) -> list[Tensor]:
        """What a piece adds to a layer's mean and Gram matrix; nothing where the layer is none of these."""
        if layer not in self.masks:
            return []
        mask, share = self.masks[layer], self.shares[layer][tile.number]
        found = moments(maps, None if mask is None else crop_window(mask, tile.targets[layer]))
        return [found.mean, found.gram] if share == 1 else [found.mean * share, found.gram * share]

    def whole(self, sums: TileSums, first: int = 0) -> dict[str, Moments]:
        """The moments by layer, from the sums over the pieces, of which theirs are the ``first`` and the next."""
        return {layer: Moments(*sums[layer][first : first + 2]) for layer in self.layers}

    def _weight(self, layer: str, tile: Tile) -> float:
        """What the positions of a piece count for."""
        mask = self.masks[layer]
        if mask is not None:
            return float(crop_window(mask, tile.targets[layer]).sum())
        rows, columns = tile.targets[layer]
        return float((rows.stop - rows.start) * (columns.stop - columns.start))


def at_size(mask: Tensor | None, size: Size) -> Tensor | None:
    """A mask (1, 1, H, W) at another size, each of its values the mean of what it covers; None stays None."""
    if mask is None or tuple(mask.shape[2:]) == tuple(size):
        return mask
    return F.interpolate(mask, size, mode="area")
