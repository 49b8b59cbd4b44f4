"""FGSM and its iterative relative against torchattacks', milliseconds for each picture.

Usage: python -m benchmarks.adversarial [--networks squeezenet1_1,resnet18,…]

torchattacks (extra ``bench``) has torchvision's module, contiguous and with parameters that want gradients, as its
users have it. Both are told the class; ε = 8/255, PGD in 10 steps of 2/255 without a random start. *Same* is the
share of values of the two pictures after one step that agree to 1e-6 (over ten, rounding turns signs, unless both have
the same module). Weights are random but for SqueezeNet's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import cnnviz
from benchmarks.photos import Plain, photo
from benchmarks.row import Row
from benchmarks.running import Setting, installed, operations, parser, setting, show
from cnnviz.network.network import Network

NETWORKS = ("squeezenet1_1", "resnet18")
EPSILON, STEP, STEPS = 8 / 255, 2 / 255, 10


def ours(network: Network, pixels: Tensor, label: int) -> dict[str, Callable[[], Tensor]]:
    """Our attacks on these pictures."""
    options = {"label": label, "steps": STEPS, "step_size": STEP}
    return {
        "FGSM": lambda: cnnviz.fgsm(network, pixels, EPSILON, label=label),
        f"PGD, {STEPS} steps": lambda: cnnviz.iterative_fgsm(network, pixels, EPSILON, **options),  # type: ignore[arg-type]
    }


def theirs(network: Network, pixels: Tensor, label: int) -> dict[str, Callable[[], Tensor]]:
    """The same by torchattacks; nothing where it is not installed."""
    if not installed("torchattacks"):
        return {}
    import torchattacks

    plain = Plain(network)
    attacks = {
        "FGSM": torchattacks.FGSM(plain, eps=EPSILON),
        f"PGD, {STEPS} steps": torchattacks.PGD(plain, eps=EPSILON, alpha=STEP, steps=STEPS, random_start=False),
    }
    labels = torch.full((len(pixels),), label, device=pixels.device)
    return {name: lambda attack=attack: attack(pixels, labels) for name, attack in attacks.items()}  # type: ignore[misc]


def rows(setting: Setting, networks: Sequence[str] = NETWORKS, counts: Sequence[int] = (1, 8)) -> list[Row]:
    """A row for each network, number of pictures and attack."""
    found = []
    for name in networks[: 1 if setting.quick else None]:
        weights = None if name == "squeezenet1_1" else "random"
        network = cnnviz.load_network(name, weights=weights, device=str(setting.device))
        for count in counts[: 1 if setting.quick else None]:
            pixels = photo(224, setting.device).repeat(count, 1, 1, 1)
            label = network.predict(pixels[:1], 1)[0][0][0]
            peers = theirs(network, pixels, label)
            for attack, run in ours(network, pixels, label).items():
                spent = setting.compare({"ours": run, **({"peer": peers[attack]} if peers else {})}, 5)
                each = {who: 1e3 * seconds / count for who, seconds in spent.items()}
                more = {"same, %": 100 * _agreeing(run(), peers[attack]())} if peers and attack == "FGSM" else {}
                case = f"{attack}, {name}, {count} image{'s' if count > 1 else ''}"
                work = operations(run) / count
                found.append(Row(case, each["ours"], "ms", each.get("peer"), "torchattacks", work, more=more))
    return found


def _agreeing(one: Tensor, other: Tensor) -> float:
    return float(((one - other).abs() < 1e-6).float().mean())


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--networks", default=",".join(NETWORKS), help="torchvision names, comma-separated")
    given = options.parse_args()
    chosen = setting(given)
    show(rows(chosen, given.networks.split(",")), chosen)


if __name__ == "__main__":
    main()
