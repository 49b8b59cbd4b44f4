"""Fills an architecture with the weights of a file: its classifier is the file's, and so are its channels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from cnnviz.errors import ModelError, Remark, shortened
from cnnviz.network import architecture
from cnnviz.network.checkpoint import Checkpoint
from cnnviz.network.fingerprints import sibling
from cnnviz.network.fitting import FittedNames, class_count, fit_names, is_own_head, load_into, misfit, misfit_error
from cnnviz.network.hashing import sha256
from cnnviz.network.heads import DEFAULT_ACTIVATION, Head, rebuild
from cnnviz.network.spec import CheckpointInfo, WeightsInfo
from cnnviz.network.weights import read_checkpoint


@dataclass(frozen=True)
class FileOptions:
    """What a user says of a file of weights.

    Args:
        key: which network in the file, by the keys that it is under, or by the beginning of its tensors' names.
        head_activation: the activation between the layers of a classifier that is rebuilt.
    """

    key: str | None = None
    head_activation: str | None = None


NO_OPTIONS = FileOptions()


@dataclass(frozen=True)
class Filled:
    """An architecture with the weights of a file.

    Args:
        module: the network.
        classes: the number of classes; 0 where the file holds no classifier.
        channels: of the input.
        info: what was found in the file.
        labels: the class names that the file holds, if any.
        class_to_idx: the index of each class by the name of its folder, where the file tells that.
    """

    module: nn.Module
    classes: int
    channels: int
    info: CheckpointInfo
    labels: tuple[str, ...] | None = None
    class_to_idx: dict[str, int] | None = None


def fill(
    name: str, path: Path, source: str, *, own: bool = False, part: str = "", options: FileOptions = NO_OPTIONS
) -> Filled:
    """The architecture ``name`` with the weights of a file.

    ``source`` is what messages call the file. Weights are mapped from the file, or copied if it is the user's ``own``.
    ``part`` is the submodule that must have weights; the whole module if empty. Raises ModelError where the file cannot
    be read, or does not fit.
    """
    checkpoint = read_checkpoint(path, own=own, key=options.key)
    shapes, classifier = architecture.parameter_shapes(name)
    fitted = fit_names(checkpoint, shapes, classifier, options.key, architecture.part_names(name))
    conv = next(key for key, tensor in shapes.items() if tensor.ndim == 4)
    channels = fitted.body[conv].shape[1] if conv in fitted.body and fitted.body[conv].ndim == 4 else 0
    classes = class_count(fitted.head, classifier)
    module = architecture.build_on_meta(name, classes or 1, int(channels) or 3)
    architecture.fit_stem(module, fitted.body)
    architecture.fit_positions(module, fitted.body)
    return load_fitted(module, checkpoint, fitted, classifier, name, source, part, options)


def load_fitted(
    module: nn.Module,
    checkpoint: Checkpoint,
    fitted: FittedNames,
    classifier: str,
    name: str,
    source: str,
    part: str = "",
    options: FileOptions = NO_OPTIONS,
) -> Filled:
    """Load the tensors of a checkpoint into an architecture, whose classifier becomes that of the file.

    ``classifier`` is the name of the last weight of ``module``; further arguments are as in ``fill``.
    """
    own, root = module.state_dict(), classifier.partition(".")[0]
    channels = next((tensor.shape[1] for tensor in own.values() if tensor.ndim == 4), 3)
    _require_body(module, fitted, checkpoint, classifier, source, name)
    if not fitted.head:
        setattr(module, root, nn.Identity())
        load_into(module, fitted.body, source, part, name)
        return Filled(module, 0, channels, _info(checkpoint, fitted, options=options, lacks=classifier))
    classes = class_count(fitted.head, classifier)
    if classes is None and classifier in fitted.head:
        raise ModelError(f"{source} does not fit {name}: it has no classifier '{classifier}'.")
    is_own = is_own_head(fitted.head, own, classifier)
    head = None if is_own else _rebuilt(module, fitted, classifier, name, source, options)
    renamed = head.renamed if head else {}
    load_into(module, {renamed.get(key, key): tensor for key, tensor in fitted.state.items()}, source, part, name)
    count = head.classes if head else classes or 0
    labels = checkpoint.labels_of(count)
    info = _info(checkpoint, fitted, head, options, labels[0] if labels else None, count)
    folders = checkpoint.labels.get("class_to_idx", ())
    indices = {folder: index for index, folder in enumerate(folders)} if len(folders) == count else None
    return Filled(module, count, channels, info, labels[1] if labels else None, indices)


def load_whole(module: nn.Module, path: Path, name: str, key: str | None = None) -> WeightsInfo:
    """Load a file into a module of somebody's own, which must have every tensor of it, and say where they came from.

    ``name`` is what messages call the module. Raises ModelError as ``fill`` does.
    """
    checkpoint = read_checkpoint(path, own=True, key=key)
    fitted = fit_names(checkpoint, module.state_dict(), "", key)
    load_into(module, fitted.body, f"The weights file '{path}'", name=name)
    info = _info(checkpoint, fitted, options=FileOptions(key))
    return WeightsInfo(path.name, sha256(path), checkpoint=info)


def _require_body(
    module: nn.Module, fitted: FittedNames, checkpoint: Checkpoint, classifier: str, source: str, name: str
) -> None:
    """Raise ModelError unless the tensors outside the classifier are the architecture's."""
    root = classifier.partition(".")[0] + "."
    expected = {key: tensor for key, tensor in module.state_dict().items() if not key.startswith(root)}
    complaint = misfit(fitted.body, expected)
    if complaint:
        raise misfit_error(source, name, complaint, sibling(checkpoint.tensors, name))


def _rebuilt(
    module: nn.Module, fitted: FittedNames, classifier: str, name: str, source: str, options: FileOptions
) -> Head:
    try:
        head = rebuild(fitted.head, module, classifier, name, options.head_activation)
    except ModelError as error:
        raise ModelError(f"{source} does not fit {name}: {error}.") from error
    head.put_into(module)
    return head


def _info(
    checkpoint: Checkpoint,
    fitted: FittedNames,
    head: Head | None = None,
    options: FileOptions = NO_OPTIONS,
    labels_key: str | None = None,
    classes: int = 0,
    lacks: str = "",
) -> CheckpointInfo:
    remarks = [checkpoint.remark if options.key is None else None, fitted.remark, *_labels_remark(checkpoint, classes)]
    activation = (options.head_activation or DEFAULT_ACTIVATION) if head and head.assumed else None
    if head is not None and activation and options.head_activation is None:
        remarks.append(
            Remark(f"The file holds no activations: its classifier is taken for {head.text}.", remedy="head_activation")
        )
    if options.head_activation is not None and activation is None:
        remarks.append(Remark("The classifier of the file has no place for an activation: none was put there."))
    if lacks:
        remarks.append(Remark(f"The file holds no classifier ('{lacks}'): it serves for features only."))
    key = ".".join(part for part in (checkpoint.key, fitted.prefix.rstrip(".")) if part)
    return CheckpointInfo(
        key=shortened(key),
        head=head.text if head else "",
        head_activation=activation,
        labels_key=labels_key,
        lacks_classifier=lacks,
        remarks=tuple(remark for remark in remarks if remark),
    )


def _labels_remark(checkpoint: Checkpoint, classes: int) -> list[Remark]:
    """The remark where a file names another number of classes than its classifier has."""
    if not classes or not checkpoint.labels or checkpoint.labels_of(classes):
        return []
    key, names = next(iter(checkpoint.labels.items()))
    return [Remark(f"The file names {len(names)} classes under '{key}', but its classifier has {classes}: not used.")]
