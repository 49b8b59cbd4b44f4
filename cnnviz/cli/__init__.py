"""The command line: parses options, calls the library, writes and reports the results. Nothing else prints."""

from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    from cnnviz.cli.process import exit_process, install_signal_handlers, open_standard_streams

    install_signal_handlers()  # before anything that takes time is imported
    open_standard_streams()
    from cnnviz.cli.app import run
    from cnnviz.runtime.malloc import tune_malloc

    tune_malloc()  # before any thread starts
    exit_process(run())
