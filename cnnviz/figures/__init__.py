"""Figures: results and photos in, PIL images out.

A figure function takes tensors, PIL images and the texts to show, and returns an image. It never asks the network:
whoever calls it looks up class names, layer names and probabilities first.
"""
