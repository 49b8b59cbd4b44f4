"""What each command does, as a frozen dataclass of plain values: ``compute`` asks the network, ``render`` draws.

A task's fields are the command's options (``cnnviz.settings.setting``). Its module imports no torch, so that help is
shown at once, and tasks travel to the workers of a cluster as they are.
"""
