"""The choices that functions on features offer; importing them loads no torch."""

from __future__ import annotations

METRICS = ("l2", "cosine")
"""Distances between two vectors: Euclidean, or 1 minus the cosine of their angle."""

INDEXES = ("auto", "exact", "approximate")
"""How nearest neighbors are searched; ``auto`` is approximate for many vectors, where usearch is installed."""

PROJECTIONS = ("pca", "tsne", "umap")
"""How vectors become points in the plane."""
