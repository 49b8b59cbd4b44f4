"""Writes cnnviz/network/bundled/imagenet_synsets.txt: the WordNet id and the names of each of ImageNet's 1000 classes.

Reads two lists that the package timm carries (pip install 'cnnviz[timm]'): the ids in the order of the networks'
outputs, and the lemmas of WordNet's synsets by id. Each line that is written is an id, a tab, and the lemmas.

    python tools/make_imagenet_synonyms.py
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

TARGET = Path(__file__).parents[1] / "cnnviz" / "network" / "bundled" / "imagenet_synsets.txt"


def timm_lists() -> Path:
    """The folder of timm's lists, found without importing it."""
    spec = find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("timm is not installed: pip install 'cnnviz[timm]'")
    return Path(spec.submodule_search_locations[0], "data", "_info")


def synset_lines(folder: Path) -> list[str]:
    """``n01440764<tab>tench, Tinca tinca`` for each class, in the order of the outputs."""
    order = (folder / "imagenet_synsets.txt").read_text(encoding="utf-8").split()
    lines = (folder / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines()
    lemmas = dict(line.split("\t", 1) for line in lines)
    return [f"{synset}\t{', '.join(lemma.strip() for lemma in lemmas[synset].split(','))}" for synset in order]


if __name__ == "__main__":
    found = synset_lines(timm_lists())
    TARGET.write_text("\n".join(found) + "\n", encoding="utf-8")
    print(f"{TARGET.name}: {len(found)} classes, {TARGET.stat().st_size:,} bytes")
