"""Access of timm to the hub: no internet where there is none or the user forbids it, no unpickling, one sentence."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import torch

from cnnviz.errors import CnnvizError, ModelError, shortened
from cnnviz.network import download
from cnnviz.runtime.memory import is_out_of_memory

_REACH_SECONDS = 3.0
_FORCE_SAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""Makes torch.load refuse everything but tensors, whoever calls it."""


@contextmanager
def hub_access(model: str, *, progress: bool) -> Iterator[str]:
    """The context in which timm may load ``model``; yields why it cannot reach the internet, empty if it can.

    Bars are shown with ``progress`` only. Whatever fails becomes a ModelError.
    """
    constants: Any = importlib.import_module("huggingface_hub.constants")
    utils: Any = importlib.import_module("huggingface_hub.utils")
    was_offline, forced = constants.HF_HUB_OFFLINE, os.environ.get(_FORCE_SAFE)
    hides_bars = not progress and not utils.are_progress_bars_disabled()
    obstacle = _obstacle(constants)
    constants.HF_HUB_OFFLINE = bool(obstacle)  # otherwise the hub tries for minutes
    os.environ[_FORCE_SAFE] = "1"
    if hides_bars:
        utils.disable_progress_bars()
    try:
        yield obstacle
    except CnnvizError:
        raise
    except Exception as error:  # timm, the hub and HTTP raise many kinds
        if is_out_of_memory(error):
            raise
        raise _explained(model, error, obstacle) from error
    finally:
        constants.HF_HUB_OFFLINE = was_offline
        if hides_bars:
            utils.enable_progress_bars()
        if forced is None:
            del os.environ[_FORCE_SAFE]
        else:
            os.environ[_FORCE_SAFE] = forced


def _obstacle(constants: Any) -> str:
    if download.offline() or constants.HF_HUB_OFFLINE:
        return "internet access is switched off"
    return "" if _answers(constants.ENDPOINT) else f"{urlsplit(constants.ENDPOINT).netloc} does not answer"


def _answers(url: str) -> bool:
    from urllib.request import Request, urlopen  # honors the user's proxy settings

    try:
        with urlopen(Request(url, method="HEAD"), timeout=_REACH_SECONDS):
            return True
    except HTTPError:  # which is an answer
        return True
    except OSError:
        return False


def require_cached(model: str, url: str | tuple[str, str], obstacle: str) -> None:
    """Raise ModelError unless a file of a web server is in torch.hub's cache already."""
    name = url if isinstance(url, str) else url[1]
    if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(name).path).name).is_file():
        raise _unavailable(model, obstacle)


def _explained(model: str, error: Exception, obstacle: str) -> ModelError:
    if isinstance(error, KeyError | json.JSONDecodeError | TypeError | AttributeError):
        return ModelError(f"The config.json of '{model}' does not describe a network of timm: {_first_line(error)}.")
    if isinstance(error, OSError):
        return _unavailable(model, obstacle or f"downloading them failed: {_first_line(error)}")
    return ModelError(f"'{model}' could not be loaded: {_first_line(error)}.")


def _unavailable(model: str, reason: str) -> ModelError:
    return ModelError(f"The files of '{model}' are not on this machine, and {reason}.", remedy="fetch_hub")


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}{': ' if line else ''}{shortened(line, 160)}".rstrip(".:")
