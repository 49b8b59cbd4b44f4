"""``cnnviz doctor``."""

from __future__ import annotations

from cnnviz.cli import console
from cnnviz.cli.options import RunOptions


def doctor(run: RunOptions) -> None:
    """Check this installation: versions, devices, caches, the embedded network.

    Examples:
        cnnviz doctor
    """
    from cnnviz.network.installation import describe_installation

    found = describe_installation()
    if run.json:
        console.result_json(found)
    else:
        console.table(("what", "found"), [(name, str(value)) for name, value in found.items()])
