"""Write ``cnnviz/network/fingerprints.json``: by which tensors each network of the catalogue is told from the others.

Usage: python tools/update_fingerprints.py [-o FILE]

Run it after a network was added to the catalogue. It says which networks have the same tensors, if any have.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from cnnviz.network import catalogue
from cnnviz.network.fingerprints import fingerprint_facts

DESTINATION = Path(__file__).parents[1] / "cnnviz" / "network" / "fingerprints.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=DESTINATION)
    output = parser.parse_args().output
    table = {name: fingerprint_facts(name) for name in catalogue.names()}
    alike = defaultdict(list)
    for name, facts in table.items():
        alike[facts["tensors"], facts["shapes"]].append(name)
    output.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(output, *(f"alike: {', '.join(names)}" for names in alike.values() if len(names) > 1))


if __name__ == "__main__":
    main()
