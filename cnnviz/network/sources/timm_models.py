"""``timm/NAME``, ``hf-hub:ORG/NAME`` and ``local-dir:FOLDER``: networks of timm, whose configuration travels with them.

timm finds, downloads and converts the weights, as far as ``hub`` lets it.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnnviz.errors import ModelError, Remark, UsageError, listed, shortened
from cnnviz.network import checks
from cnnviz.network.checkpoint import StateDict
from cnnviz.network.fitting import fit_names
from cnnviz.network.hashing import module_sha256, sha256
from cnnviz.network.own_weights import FileOptions, load_fitted
from cnnviz.network.sources import timm_labels
from cnnviz.network.sources.hub import hub_access, require_cached
from cnnviz.network.sources.known_input import spec_of_config
from cnnviz.network.sources.request import LoadedModel, Request
from cnnviz.network.spec import WeightsInfo
from cnnviz.network.weights import read_checkpoint

PREFIX = "timm/"


def load(request: Request) -> LoadedModel:
    """The network with its pretrained weights, those of a file, or random ones.

    Raises UsageError for a name that timm does not have, and ModelError for weights that are not here and cannot be
    fetched, damaged, or of another network.
    """
    name, is_by_name = _timm_name(request.model), request.model.lower().startswith(PREFIX)
    weights, labels = "" if request.weights is None else str(request.weights), None
    with hub_access(request.model, progress=request.progress) as obstacle:
        if not weights:
            module, info = _pretrained(request, name, obstacle)
        elif weights.lower() == "random":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(request.seed)
                module = _create(name, **_given(num_classes=request.classes, in_chans=request.channels))
            info = WeightsInfo("random")
        else:
            module, info, labels = _with_file(request, name, Path(weights))
    config: Mapping[str, Any] = module.pretrained_cfg  # type: ignore[assignment]
    if not _classes(module) and not info.lacks_classifier:
        no_head = f"{request.model} has no classifier: it serves for features only."
        info = WeightsInfo(info.label, info.sha256, Remark(no_head))
    if labels is None:
        labels = timm_labels.labels_of(config, _classes(module))
    described = {"spec": spec_of_config({**config, "input_size": _input_size(module, config)}), "labels": labels}
    arguments = {key: value for key, value in described.items() if value is not None}
    return LoadedModel(module, info, arguments, is_described=True, is_ours=is_by_name)


def names() -> list[str]:
    """The architectures of timm."""
    found: list[str] = importlib.import_module("timm").list_models()
    return found


def _timm_name(model: str) -> str:
    """The name as timm takes it; UsageError that lists the nearest if timm has no such architecture or weights."""
    if not model.lower().startswith(PREFIX):
        source, _, rest = model.partition(":")
        return f"{source.lower().replace('_', '-')}:{rest}"
    name = model[len(PREFIX) :]
    architecture, _, tag = name.partition(".")
    timm = importlib.import_module("timm")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture.lower(), names(), n=3, cutoff=0.5)
        guess = f" Did you mean {' or '.join(PREFIX + each for each in near)}?" if near else ""
        raise UsageError(f"timm has no model called '{shortened(architecture)}'.{guess}", remedy="list_timm")
    tags = _tags(architecture)
    if tag and tag not in tags:
        known = f"there are {listed(tags)}" if tags else "there are none"
        raise UsageError(f"timm has no weights '{shortened(tag)}' of {architecture}; {known}.")
    return name


def _tags(architecture: str) -> list[str]:
    """The weights that timm has of an architecture, in its order."""
    registry = importlib.import_module("timm.models")
    return [full.partition(".")[2] for full in registry.list_pretrained(f"{architecture}.*")]


def _create(name: str, **options: Any) -> nn.Module:
    """timm's module, without weights from anywhere."""
    made: nn.Module = importlib.import_module("timm").create_model(name, pretrained=False, **options)
    return made


def _given(**options: int | None) -> dict[str, int]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value}


def _pretrained(request: Request, name: str, obstacle: str) -> tuple[nn.Module, WeightsInfo]:
    """The module with the weights that it was published or saved with."""
    timm = importlib.import_module("timm")
    if request.model.lower().startswith(PREFIX):
        config = timm.models.get_pretrained_cfg(name)
        if config is None or not config.has_weights:
            raise ModelError(
                f"timm has no weights of {name}: give a file of your own, or 'random'.", remedy="own_weights"
            )
        if obstacle and not config.hf_hub_id and config.url:  # on a web server of another kind
            require_cached(request.model, config.url, obstacle)
    module = timm.create_model(name, pretrained=True, **_given(in_chans=request.channels))
    checks.require_finite_weights(module, request.model)
    label = str(module.pretrained_cfg.get("tag") or "pretrained")
    return module, WeightsInfo(label, module_sha256(module))


def _with_file(request: Request, name: str, path: Path) -> tuple[nn.Module, WeightsInfo, tuple[str, ...] | None]:
    """The architecture with the weights of a file, and the class names in it.

    The file decides how many classes and channels there are, and what layers the classifier has.
    """
    module = _create(name)
    classifier, checkpoint = _part_weight(module, "classifier"), read_checkpoint(path, True, request.weights_key)
    fitted = fit_names(checkpoint, module.state_dict(), classifier, request.weights_key)
    options = {
        **_shape_of(fitted.state, module, "classifier", 0, "num_classes"),
        **_shape_of(fitted.state, module, "first_conv", 1, "in_chans"),
    }
    if options:
        module = _create(name, **options)
    said = FileOptions(request.weights_key, request.head_activation)
    source = f"The weights file '{path}'"
    filled = load_fitted(module, checkpoint, fitted, classifier, request.model, source, options=said)
    module.num_classes = filled.classes  # type: ignore[assignment]
    info = WeightsInfo(path.name, sha256(path), class_to_idx=filled.class_to_idx, checkpoint=filled.info)
    return module, info, () if filled.info.lacks_classifier else filled.labels


def _shape_of(state: StateDict, module: nn.Module, part: str, axis: int, option: str) -> dict[str, int]:
    """``option`` with the length of an axis of a layer's weight, if that is another in ``state`` than in ``module``."""
    key = _part_weight(module, part)
    own, found = module.state_dict().get(key), state.get(key)
    if own is None or found is None or own.ndim != found.ndim or own.shape[axis] == found.shape[axis]:
        return {}
    return {option: int(found.shape[axis])}


def _part_weight(module: nn.Module, part: str) -> str:
    """The name of the weight of a part that timm names: ``classifier`` or ``first_conv``."""
    names = module.pretrained_cfg.get(part)  # type: ignore[union-attr, operator]
    return f"{names if isinstance(names, str) else next(iter(names or ()), '')}.weight"


def _classes(module: nn.Module) -> int:
    return int(getattr(module, "num_classes", 0) or 0)


def _input_size(module: nn.Module, config: Mapping[str, Any]) -> tuple[int, int, int]:
    """Channels, height and width, the channels as the first layer has them."""
    channels, height, width = config["input_size"]
    return int(getattr(module, "in_chans", None) or channels), height, width
