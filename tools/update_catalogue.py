"""Write ``cnnviz/network/catalogue.json``: what torchvision publishes, so that listing it need not import torchvision.

Usage: python tools/update_catalogue.py [-o FILE]

Holds facts only: model names, and for each set of weights its address, size, parameter count and the
preprocessing it was trained with. Run it after raising the torchvision version; a test compares the two.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torchvision
from torchvision import models

DESTINATION = Path(__file__).parents[1] / "cnnviz" / "network" / "catalogue.json"
ONE_SIZE = ("vit_", "maxvit_")
"""Networks that take images of one size only."""
ANY_SIZE = ("swin_",)
"""Networks of which torchvision publishes the size of their weights' crops as the smallest, but that take others."""
SMALLEST = 32


def weights_facts(weights: Any) -> dict[str, Any]:
    """What must be known of one set of weights before it is downloaded."""
    preset = weights.transforms()
    return {
        "url": weights.url,
        "mebibytes": weights.meta["_file_size"],
        "parameters": weights.meta["num_params"],
        "crop": preset.crop_size[0],
        "resize": preset.resize_size[0],
        "interpolation": preset.interpolation.value,
        "mean": list(preset.mean),
        "std": list(preset.std),
    }


def catalogue() -> dict[str, Any]:
    """All classification networks of the installed torchvision, by name."""
    entries = {}
    for name in models.list_models(module=models):
        enumeration = models.get_model_weights(name)
        members = list(enumeration)
        entries[name] = {
            "min_size": SMALLEST if name.startswith(ANY_SIZE) else members[0].meta["min_size"][0],
            "fixed": name.startswith(ONE_SIZE),
            "best": enumeration["DEFAULT"].name,
            "weights": {weights.name: weights_facts(weights) for weights in members},
        }
    return {"torchvision": torchvision.__version__.split("+")[0], "models": entries}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=DESTINATION)
    output = parser.parse_args().output
    output.write_text(json.dumps(catalogue(), indent=1) + "\n", encoding="utf-8")
    print(output)


if __name__ == "__main__":
    main()
