"""Training in the processes that ``torchrun`` starts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cnnviz.errors import UsageError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def process_count() -> int:
    """How many processes ``torchrun`` has started, on all machines; 1 where it is not used."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def require_fabric() -> None:
    """UsageError if there are several processes and nothing to join them."""
    if process_count() == 1:
        return
    try:
        import lightning_fabric  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "Training in several processes needs lightning-fabric: pip install 'cnnviz[train]'."
        ) from error


def launch_fabric(device: str) -> Fabric | None:
    """The launched Fabric of the processes that ``torchrun`` has started; None where there is only one.

    ``device`` is the type: ``cpu``, ``cuda`` or ``auto``.
    """
    require_fabric()
    count = process_count()
    if count == 1:
        return None
    from lightning_fabric import Fabric

    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(accelerator=device, devices=local, num_nodes=count // local, strategy="ddp")
    fabric.launch()
    return fabric
