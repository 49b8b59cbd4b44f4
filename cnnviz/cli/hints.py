"""Which option or command helps with an error of the library, whose own messages know neither."""

from __future__ import annotations

from cnnviz.errors import CnnvizError

HINTS = {
    "device_auto": "'--device auto' takes what there is.",
    "smaller_patch": "Try --patch 1 to {largest}.",
    "overwrite": "--force replaces it.",
    "shard": "Give it as --shard 1/4.",
    "smaller_size": "Try --size {size}.",
    "attack_target": "Name it with --target.",
    "exact_index": "Or take --index exact.",
    "iterative_attack": "Try --method iterative.",
    "layer": "Name a layer with --layer.",
    "learn_perturbation": "'cnnviz universal FOLDER -o {stem}.png' makes it.",
    "perturbation_file": "'cnnviz universal FOLDER' writes one.",
    "use_pca": "Or take --method pca.",
    "use_tsne": "Or take --method tsne.",
}
"""The sentence that follows an error's message, by its ``remedy``; its ``values`` are filled in."""


def message_with_hint(error: Exception) -> str:
    """The error's message, followed by the option or command that helps, where it has a remedy."""
    if not isinstance(error, CnnvizError) or not error.remedy:
        return str(error)
    return f"{error} {HINTS[error.remedy].format(**error.values)}"
