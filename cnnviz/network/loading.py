"""``load_network``: a network by name, with its published weights, a file of weights, or random ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnnviz.errors import MemoryShortError, ModelError, Remark, UsageError
from cnnviz.network import architecture, catalogue, download
from cnnviz.network.catalogue import PublishedWeights
from cnnviz.network.checks import label_count_message
from cnnviz.network.default_model import choose_model
from cnnviz.network.fast_conv_choice import choose_fast_conv
from cnnviz.network.fingerprints import identify
from cnnviz.network.hashing import sha256
from cnnviz.network.heads import require_head_activation
from cnnviz.network.imagenet import imagenet_labels
from cnnviz.network.label_files import read_labels
from cnnviz.network.network import Network
from cnnviz.network.outputs import Output
from cnnviz.network.own_weights import FileOptions, fill
from cnnviz.network.sources.assembling import assemble
from cnnviz.network.sources.files import WEIGHTS_SUFFIXES
from cnnviz.network.sources.request import Request
from cnnviz.network.sources.table import find_source
from cnnviz.network.spec import InputSpec, WeightsInfo, given_spec
from cnnviz.network.targets import numbered_labels
from cnnviz.network.weights import read_checkpoint
from cnnviz.runtime.device import choose_device
from cnnviz.runtime.memory import available_memory, is_out_of_memory
from cnnviz.runtime.paths import path_exists
from cnnviz.runtime.precision import choose_precision
from cnnviz.runtime.workload import Workload

_USUAL_CLASSES = 25_000
"""The whole of ImageNet has 21,841."""


_WORKLOADS: dict[str, Workload] = {
    **dict.fromkeys(("occlusion", "embed", "neighbors", "patches"), "forward"),
    **dict.fromkeys(("style", "texture", "dream", "visualize", "invert"), "synthesis"),
}
"""The workload by what ``load_network(technique=...)`` took before; for one release."""


@dataclass
class _Loaded:
    """A module with its weights, and where they came from."""

    module: nn.Module
    classes: int
    channels: int
    info: WeightsInfo
    published: PublishedWeights | None = None
    is_own: bool = False
    labels: tuple[str, ...] | None = None


@torch.inference_mode(False)
def load_network(
    name: str = "auto",
    weights: str | Path | None = None,
    labels: str | Path | Sequence[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    channels: int | None = None,
    input_range: tuple[float, float] | None = None,
    output: Output = None,
    activation: str = "auto",
    transform_input: bool | None = None,
    weights_key: str | None = None,
    head_activation: str | None = None,
    workload: Workload = "exact",
    fast_conv: bool | None = None,
    technique: str | None = None,
    seed: int = 0,
    progress: bool = False,
    trust: bool = False,
) -> Network:
    """A classification network, ready to use: of the catalogue, of timm, of a file, or of an installed package.

    Args:
        name: a torchvision name (``resnet50``, ``vgg19``, …), ``lenet5``, or ``auto``: ResNet-50 where its weights
            are on this machine or can be downloaded, otherwise the embedded SqueezeNet 1.1. With the extra ``timm``
            also ``timm/NAME`` or ``timm/NAME.WEIGHTS``, ``hf-hub:ORG/NAME`` and ``local-dir:FOLDER``, whose size,
            normalization and labels come with them. With ``trust`` also ``net.pt2``, a program of ``torch.export``,
            and ``my_net.py:build(width=2)``, a function or class of a Python file; or the name of an entry point
            ``cnnviz.models`` of an installed package. These build a module, a pair of a module and a dict of arguments
            of ``Network``, or a ``Network``; what neither they nor the arguments below say of the input is assumed to
            be ImageNet's (``network.spec.assumed``).
        weights: None for the network's best known published weights; the name of published weights
            (``IMAGENET1K_V2``, ``DEFAULT``); a file (.pth, .pt, .safetensors: a state dict or a training
            checkpoint; the class count, the channels of the input and a classifier of other layers are read from
            it, and with the name ``auto`` the architecture, by the names and shapes of its tensors); or ``random``.
            Image size, crop and normalization are those of the published weights, and of the best known ones for a
            file and random weights. A file without a classifier serves for features.
        labels: class names, or a file of them (lines, CSV, JSON or YAML, see ``read_labels``); if None those in the
            file of weights, or ImageNet's for networks of 1000 classes.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``fp32``, ``tf32``, ``bf16`` or ``fp16``; on CUDA this network's convolutions in float32
            use TF32 with ``tf32`` only, whatever the process's own setting.
        mean, std: per-channel normalization, if other than the one the weights were published with.
        size: side of the square images that it was trained with, if other than what is known of it or assumed.
        channels: of the images it takes. A file of weights and a module of your own tell it themselves; random weights
            are made for any number.
        input_range: what black and white are before the mean is subtracted, as (0, 255) or (-1, 1), if not (0, 1);
            without a mean and std it is the whole normalization.
        output: which of the network's outputs are the logits, as for ``Network``.
        activation: what makes probabilities of logits: ``auto``, ``softmax``, ``sigmoid`` or ``none``, as for
            ``Network``.
        transform_input: whether GoogLeNet or Inception v3 rescales its input from ImageNet's normalization to
            Inception's, as torchvision's published weights need it. If None: yes, except for a file of weights that
            is loaded with ``mean``, ``std`` or ``input_range``.
        weights_key: which network in a file of weights that holds several: its key, as ``model_ema``, or what the names
            of its tensors begin with. None takes the plain weights before an average of them.
        head_activation: the activation between the layers of a classifier that is rebuilt from a file's tensors:
            ``relu`` (as None assumes), ``gelu``, ``silu``, ``tanh``, ``leaky_relu``, ``none`` …
        workload: how exact its numbers must be, which decides what precision ``auto`` is: ``exact`` (fp32), ``forward``
            (many forward passes and no backward pass: tf32 where there is such), ``scores`` (the same, and nothing is
            kept that must agree with another machine's), ``training`` (fp32) or ``synthesis`` (the fastest).
        fast_conv: whether 3×3 convolutions of many channels are computed in fewer multiplications on a CPU in fp32
            (Winograd), which changes their values by about 1e-5 of the largest. None: yes for ``scores``,
            ``training`` and ``synthesis``, where this machine's products of matrices are quick enough and memory is
            not short. What was chosen is ``network.fast_conv``.
        technique: the old name of ``workload``, with other values; deprecated.
        seed: for random weights.
        progress: show a bar on stderr while downloading.
        trust: whether code that comes with the network may run: that of a Python file, or what a ``.pt2`` file holds.

    Raises:
        UsageError: an unknown name, device, or labels or options that do not fit; a file that is not trusted.
        ModelError: weights that are not available, corrupt, unsafe, or of another network; code that fails.

    Example:
        >>> import cnnviz
        >>> network = cnnviz.load_network("squeezenet1_1", device="cpu")
        >>> network.classes, network.label(282)
        (1000, 'tiger cat')
        >>> network.weights.label, network.spec.size
        ('embedded', 224)
    """
    if name == "auto":
        name, _ = model_of(weights, weights_key) or (choose_model("attribution").name, None)
    source = find_source(name)
    if source is not None:
        source.require_ready(name, trust=trust)
    if transform_input is not None and name not in architecture.RESCALING:
        raise UsageError(f"transform_input is for {' and '.join(architecture.RESCALING)}, not for {name}.")
    options = _file_options(weights, weights_key, head_activation)
    if technique is not None:
        warnings.warn("load_network takes workload= in place of technique=.", DeprecationWarning, stacklevel=3)
        workload = _WORKLOADS.get(technique, "exact")
    target_device = choose_device(device)
    chosen_precision = choose_precision(precision, target_device, workload)
    if source is not None:
        given = {
            "mean": mean,
            "std": std,
            "size": size,
            "channels": channels,
            "input_range": input_range,
            "output": output,
            "activation": None if activation == "auto" else activation,
            "labels": labels if labels is None else _as_labels(labels),
        }
        with _memory_errors_of(name):
            loaded_model = source.load(
                Request(
                    name,
                    weights,
                    _label_count(labels),
                    seed,
                    progress,
                    weights_key=weights_key,
                    head_activation=head_activation,
                    channels=channels,
                )
            )
            network = assemble(name, loaded_model, given, target_device, chosen_precision)
            network.use_fast_conv(choose_fast_conv(network, fast_conv, workload))
            return network
    with _memory_errors_of(name):
        loaded = _load(name, weights, _label_count(labels), seed, progress, options, channels)
    if channels not in (None, loaded.channels):
        raise ModelError(
            f"{name} with the weights '{loaded.info.label}' takes {_images(loaded)}, not of {channels}.",
            remedy="random_channels",
        )
    normalization = {"mean": mean, "std": std, "input_range": input_range}
    is_normalized = any(value is not None for value in normalization.values())
    _set_input_rescaling(name, loaded, transform_input, normalized=is_normalized)
    network = Network(
        loaded.module.to(target_device),
        name=name,
        labels=_resolve_labels(loaded.labels if labels is None else labels, loaded.classes),
        spec=_input_spec(name, loaded, **normalization),
        weights=loaded.info,
        precision=chosen_precision,
        output=output,
        activation=activation,
        optimize=True,
        size=size,
    )
    network.use_fast_conv(choose_fast_conv(network, fast_conv, workload))
    return network


def _file_options(weights: str | Path | None, key: str | None, head_activation: str | None) -> FileOptions:
    """What is said of a file of weights; UsageError where there is no such file, or no such activation."""
    for name, value in (("weights_key", key), ("head_activation", head_activation)):
        if value is not None and (weights is None or not looks_like_file(weights)):
            raise UsageError(f"{name} is for a file of weights, and none was given.")
    return FileOptions(key, None if head_activation is None else require_head_activation(head_activation))


def load_meta_network(name: str, weights: str | None = None, channels: int | None = None) -> Network:
    """The network on the meta device, without weights: its layers have shapes and costs, but it cannot run.

    ``weights`` names the published weights whose image size it takes; the first published ones if None.
    """
    classes = 10 if name == catalogue.LENET else 1000
    published = None if name == catalogue.LENET and weights is None else _published(name, weights)
    module = architecture.build_on_meta(name, classes, channels or 3)
    if published is not None:
        architecture.fit_image_size(module, published.crop)
    loaded = _Loaded(module, classes, channels or 3, WeightsInfo("none"), published)
    return Network(
        loaded.module,
        name=name,
        labels=_resolve_labels(None, classes),
        spec=_input_spec(name, loaded),
        weights=loaded.info,
        optimize=True,
    )


def model_of(weights: str | Path | None, key: str | None = None) -> tuple[str, Remark | None] | None:
    """The network that a file of weights is of, by its tensors, and the sentence that says so; None without a file.

    ``key`` is as ``weights_key`` in ``load_network``. Raises UsageError for the name of published weights, which does
    not say whose they are; ModelError where the file cannot be read, or no network of the catalogue fits.
    """
    if weights is None or str(weights).lower() == "random":
        return None
    if not looks_like_file(weights):
        raise UsageError("Weights belong to a model: name it too.", remedy="model_of_weights")
    path = Path(weights)
    with _memory_errors_of(f"the file '{path}'"):
        return identify(read_checkpoint(path, key=key), path, key)


def _load(
    name: str,
    weights: str | Path | None,
    labelled: int | None,
    seed: int,
    progress: bool,
    options: FileOptions,
    channels: int | None,
) -> _Loaded:
    if weights is None:
        return _load_default(name, progress)
    if str(weights).lower() == "random":
        classes = labelled or (10 if name == catalogue.LENET else 1000)
        _require_memory(name, classes)
        module = architecture.build_random(name, classes, seed, channels)
        return _Loaded(module, classes, _first_channels(module), WeightsInfo("random"))
    if looks_like_file(weights):
        return _load_file(name, Path(weights), options)
    if name == catalogue.EMBEDDED and str(weights).lower() == "embedded":
        return _load_embedded()
    return _load_published(_published(name, str(weights)), progress)


@contextmanager
def _memory_errors_of(name: str) -> Iterator[None]:
    """A context that turns an allocation failure into a MemoryShortError that names the network."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryShortError) or not is_out_of_memory(error):
            raise
        raise MemoryShortError(f"The weights of {name} do not fit in the memory that is free.") from error


def _require_memory(name: str, classes: int) -> None:
    """Raise MemoryShortError if a network of very many classes does not fit in memory."""
    if classes <= _USUAL_CLASSES:
        return
    needed = 4 * sum(tensor.numel() for tensor in architecture.build_on_meta(name, classes).state_dict().values())
    available = available_memory(torch.device("cpu"))
    if available is not None and needed > available:
        raise MemoryShortError(
            f"{name} with {classes:,} classes has {needed / 2**30:.1f} GiB of weights, "
            f"and {available / 2**30:.1f} GiB are free."
        )


def _load_default(name: str, progress: bool) -> _Loaded:
    if catalogue.is_embedded(name):
        return _load_embedded()
    return _load_published(_published(name), progress)


def _published(name: str, weights: str | None = None) -> PublishedWeights:
    if name == catalogue.LENET:
        raise ModelError("lenet5 has no published weights: give a file of your own, or 'random'.", remedy="own_weights")
    return catalogue.entry(name).published(weights)


def looks_like_file(weights: str | Path) -> bool:
    """Whether ``weights`` is a file, existing or not, rather than the name of published weights."""
    path = Path(weights)
    return (
        isinstance(weights, Path)
        or path_exists(path)
        or path.suffix.lower() in WEIGHTS_SUFFIXES
        or path.name != weights
    )


def _load_embedded() -> _Loaded:
    filled = fill(catalogue.EMBEDDED, catalogue.EMBEDDED_FILE, "The embedded weights file")
    info = WeightsInfo("embedded", sha256(catalogue.EMBEDDED_FILE))
    return _Loaded(filled.module, filled.classes, 3, info, catalogue.entry(catalogue.EMBEDDED).default)


def _load_published(published: PublishedWeights, progress: bool) -> _Loaded:
    path = download.fetch(published, progress=progress)
    digest = download.verify(published)
    try:
        filled = fill(published.model, path, f"The cached weights file {path}", part=published.part)
    except ModelError as error:
        if download.is_genuine(published, digest):
            raise
        raise download.damaged(published) from error
    remark = Remark()
    if published.part:
        remark = Remark(f"{published.name} of {published.model} has no classifier: it serves for features only.")
    if not download.is_genuine(published, digest):
        differs = f"{path} is not the file that torchvision publishes under this name: its SHA-256 differs."
        names = {"model": published.model, "weights": published.name}
        remark = Remark(f"{remark} {differs}".strip(), remedy="fetch_again", **names)
    info = WeightsInfo(published.name, digest, remark or None)
    return _Loaded(filled.module, filled.classes, 3, info, published)


def _load_file(name: str, path: Path, options: FileOptions) -> _Loaded:
    filled = fill(name, path, f"The weights file '{path}'", own=True, options=options)
    published = None if name == catalogue.LENET else catalogue.entry(name).default
    info = WeightsInfo(path.name, sha256(path), class_to_idx=filled.class_to_idx, checkpoint=filled.info)
    return _Loaded(filled.module, filled.classes, filled.channels, info, published, True, filled.labels)


def _set_input_rescaling(name: str, loaded: _Loaded, wanted: bool | None, *, normalized: bool) -> None:
    """Set ``transform_input`` where the network has it; a remark says what is assumed for a file of weights."""
    if name not in architecture.RESCALING:
        return
    if wanted and loaded.channels != 3:
        raise UsageError(f"These weights of {name} take {_images(loaded)}, which transform_input cannot rescale.")
    chosen = not (loaded.is_own and normalized) and loaded.channels == 3 if wanted is None else wanted
    loaded.module.transform_input = chosen  # type: ignore[assignment]
    remark = loaded.info.remark
    if loaded.is_own and chosen and wanted is None and not normalized:
        remark = Remark(
            f"{loaded.info.label}: assumed to be trained with torchvision's transform_input, as the published weights "
            f"of {name}.",
            remedy="transform_input",
        )
    loaded.info = replace(loaded.info, remark=remark, transform_input=chosen)


def _images(loaded: _Loaded) -> str:
    return "gray images" if loaded.channels == 1 else f"images of {loaded.channels} channels"


def _first_channels(module: nn.Module) -> int:
    return next((m.in_channels for m in module.modules() if isinstance(m, nn.Conv2d)), 3)


def _label_count(labels: str | Path | Sequence[str] | None) -> int | None:
    return None if labels is None else len(_as_labels(labels))


def _as_labels(labels: str | Path | Sequence[str]) -> tuple[str, ...]:
    return read_labels(labels) if isinstance(labels, str | Path) else tuple(labels)


def _resolve_labels(labels: str | Path | Sequence[str] | None, classes: int) -> tuple[str, ...]:
    if labels is None:
        return imagenet_labels() if classes == 1000 else numbered_labels(classes)
    found = _as_labels(labels)
    if len(found) != classes:
        raise UsageError(label_count_message(len(found), classes))
    return found


def input_spec_of(weights: PublishedWeights) -> InputSpec:
    """The input size, crop and normalization that published weights were evaluated with."""
    entry = catalogue.entry(weights.model)
    return InputSpec(
        weights.crop,
        weights.resize,
        weights.crop if entry.fixed else entry.min_size,
        entry.fixed,
        mean=weights.mean,
        std=weights.std,
        interpolation=weights.interpolation,
    )


def _published_spec(name: str, loaded: _Loaded) -> InputSpec:
    """The input of the published weights; where the module takes another size only, that of those of its size."""
    entry = catalogue.entry(name)
    spec = input_spec_of(loaded.published or entry.default)
    side = architecture.image_size(loaded.module)
    if not entry.fixed or side in (None, spec.size):
        return spec
    same = next((input_spec_of(weights) for weights in entry.weights if weights.crop == side), spec)
    return replace(same, size=side, resize=same.resize if same.size == side else None, min_size=side)


def _input_spec(name: str, loaded: _Loaded, **normalization: Any) -> InputSpec:
    """The input of a network of the catalogue; ``normalization`` is what was given, as for ``given_spec``."""
    if name == catalogue.LENET:
        channels = loaded.channels
        spec = InputSpec(32, 32, 32, fixed=True, channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)
    else:
        spec = _published_spec(name, loaded)
        if loaded.is_own and loaded.channels != 3 and not _is_normalized(**normalization):
            count = "one" if loaded.channels == 1 else loaded.channels
            raise UsageError(
                f"These weights of {name} take {_images(loaded)}: say how those were normalized, with {count} "
                f"number{'' if count == 'one' else 's'} for the mean and {count} for the std.",
                remedy="normalization",
                channels=loaded.channels,
            )
    return given_spec(spec, channels=loaded.channels, **normalization)


def _is_normalized(
    mean: Sequence[float] | None = None, std: Sequence[float] | None = None, input_range: object = None
) -> bool:
    """Whether the whole normalization was given."""
    return input_range is not None or (mean is not None and std is not None)
