"""The command line: a thin skin that parses, loads, calls, renders and writes. Only here is anything printed."""

from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    from cnnviz.cli.process import install_signal_handlers, leave, open_standard_streams

    install_signal_handlers()  # before anything that takes time is imported
    open_standard_streams()
    from cnnviz.cli.app import run

    leave(run())
