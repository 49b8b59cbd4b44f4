"""What is said of a network once it is loaded: warnings of its weights and input, and settings without effect on it."""

from __future__ import annotations

from cnnviz.network.assumptions import assumption_remark
from cnnviz.network.network import Network
from cnnviz.pipeline.reporter import Reporter


def report_network(network: Network, reporter: Reporter) -> None:
    """Tell ``reporter`` what the user should know of a network, and which settings have no effect on it."""
    if network.spec.is_photo:
        reporter.unused("show_channels", why=f"on {network.name}, which takes photos")
    for remark in network.weights.remarks:
        reporter.warn(remark)
    if assumed := assumption_remark(network.name, network.spec):
        reporter.warn(assumed)
    if network.spec.fixed:
        reporter.unused("size", why=f"on {network.name}, which takes images of one size")
    if network.fast_conv_choice is None:
        reporter.unused("fast_conv", why=f"where {network.name} has no use for it")
    reporter.detail(
        f"{network.name} ({network.weights.label}), {network.classes} classes, "
        f"on {network.device} in {network.precision}"
    )
