"""``load_network``: a network by name, with its published weights, a file of weights, or random ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from cnnviz.errors import ModelError, Remark, UsageError
from cnnviz.network import architecture, catalogue
from cnnviz.network.catalogue_input import images_of, input_spec, set_input_rescaling
from cnnviz.network.catalogue_weights import Loaded, load_module, looks_like_file, memory_errors_of, published_weights
from cnnviz.network.checks import label_count_message
from cnnviz.network.default_model import choose_model
from cnnviz.network.fast_conv_choice import choose_fast_conv
from cnnviz.network.fingerprints import identify
from cnnviz.network.heads import require_head_activation
from cnnviz.network.imagenet import imagenet_labels
from cnnviz.network.label_files import read_labels
from cnnviz.network.network import Network
from cnnviz.network.outputs import Output
from cnnviz.network.own_weights import FileOptions
from cnnviz.network.sources.assembling import assemble
from cnnviz.network.sources.request import Request
from cnnviz.network.sources.table import find_source
from cnnviz.network.spec import WeightsInfo
from cnnviz.network.targets import numbered_labels
from cnnviz.network.weights import read_checkpoint
from cnnviz.runtime.device import choose_device
from cnnviz.runtime.precision import choose_precision
from cnnviz.runtime.workload import Workload

_WORKLOADS: dict[str, Workload] = {
    **dict.fromkeys(("occlusion", "embed", "neighbors", "patches"), "forward"),
    **dict.fromkeys(("style", "texture", "dream", "visualize", "invert"), "synthesis"),
}
"""The workload by what ``load_network(technique=...)`` took before; for one release."""


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
    names = None if labels is None else _as_labels(labels)
    label_count = None if names is None else len(names)
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
            "labels": names,
        }
        with memory_errors_of(name):
            loaded_model = source.load(
                Request(
                    name,
                    weights,
                    label_count,
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
    with memory_errors_of(name):
        loaded = load_module(name, weights, label_count, seed, progress, options, channels)
    if channels not in (None, loaded.channels):
        raise ModelError(
            f"{name} with the weights '{loaded.info.label}' takes {images_of(loaded)}, not of {channels}.",
            remedy="random_channels",
        )
    normalization = {"mean": mean, "std": std, "input_range": input_range}
    is_normalized = any(value is not None for value in normalization.values())
    set_input_rescaling(name, loaded, transform_input, normalized=is_normalized)
    network = Network(
        loaded.module.to(target_device),
        name=name,
        labels=_resolve_labels(loaded.labels if names is None else names, loaded.classes),
        spec=input_spec(name, loaded, **normalization),
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
    published = None if name == catalogue.LENET and weights is None else published_weights(name, weights)
    module = architecture.build_on_meta(name, classes, channels or 3)
    if published is not None:
        architecture.fit_image_size(module, published.crop)
    loaded = Loaded(module, classes, channels or 3, WeightsInfo("none"), published)
    return Network(
        loaded.module,
        name=name,
        labels=_resolve_labels(None, classes),
        spec=input_spec(name, loaded),
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
    with memory_errors_of(f"the file '{path}'"):
        return identify(read_checkpoint(path, key=key), path, key)


def _as_labels(labels: str | Path | Sequence[str]) -> tuple[str, ...]:
    return read_labels(labels) if isinstance(labels, str | Path) else tuple(labels)


def _resolve_labels(names: tuple[str, ...] | None, classes: int) -> tuple[str, ...]:
    """``names``, or those that a network of ``classes`` classes is taken to have; UsageError for another number."""
    if names is None:
        return imagenet_labels() if classes == 1000 else numbered_labels(classes)
    if len(names) != classes:
        raise UsageError(label_count_message(len(names), classes))
    return names
