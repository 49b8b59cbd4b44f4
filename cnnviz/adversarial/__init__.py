"""Adversarial perturbations: changes too small to see that alter what a network predicts.

The public functions are importable from ``cnnviz`` itself. This package re-exports none: some are named as their file
is, and ``cnnviz.adversarial.fgsm`` is the file.
"""
