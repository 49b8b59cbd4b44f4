"""Feature moments of an image at some layers, put together from those of its tiles."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from cnnviz.synthesis.feature_statistics import Moments, moments, resize_mask
from cnnviz.synthesis.tiling import Tile, TileGrid, TileSums, crop_window


class TiledMoments:
    """Moments at ``layers``, each position weighted by ``mask`` (1, 1, H, W), of the image's size, if there is one.

    Moments are means, so those of the whole are the means of the tiles' moments, weighted by the positions in each.
    """

    def __init__(self, tiles: TileGrid, layers: Sequence[str], mask: Tensor | None = None) -> None:
        self.layers = list(layers)
        self.masks = {layer: resize_mask(mask, tiles.sizes[layer]) for layer in layers}
        weights = {layer: [self._weight(layer, tile) for tile in tiles] for layer in layers}
        self.fractions = {k: [w / max(sum(all_), 1e-8) for w in all_] for k, all_ in weights.items()}

    def of_tile(self, layer: str, maps: Tensor, tile: Tile) -> list[Tensor]:
        """One tile's part of a layer's mean and Gram matrix, to be summed over tiles; empty for other layers."""
        if layer not in self.masks:
            return []
        mask, fraction = self.masks[layer], self.fractions[layer][tile.number]
        found = moments(maps, None if mask is None else crop_window(mask, tile.targets[layer]))
        return [found.mean, found.gram] if fraction == 1 else [found.mean * fraction, found.gram * fraction]

    def combine(self, sums: TileSums, first: int = 0) -> dict[str, Moments]:
        """The moments by layer, from sums over the tiles, whose entries ``first`` and ``first + 1`` are theirs."""
        return {layer: Moments(*sums[layer][first : first + 2]) for layer in self.layers}

    def _weight(self, layer: str, tile: Tile) -> float:
        """The weight of all positions of a tile."""
        mask = self.masks[layer]
        if mask is not None:
            return float(crop_window(mask, tile.targets[layer]).sum())
        rows, columns = tile.targets[layer]
        return float((rows.stop - rows.start) * (columns.stop - columns.start))
