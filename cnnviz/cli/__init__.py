"""The command line: a thin skin that parses, loads, calls, renders and writes. Only here is anything printed."""

from cnnviz.cli.app import main

__all__ = ["main"]
