"""What docs/networks.md says of one network: how it was traced, and what each technique made of it.

``make_network_table.py`` runs this, a few networks in a process.
"""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

import timm
import torch
from torch import Tensor, nn

import cnnviz
from cnnviz.errors import CnnvizError
from cnnviz.network import architecture, catalogue
from cnnviz.network.default_layers import middle_layer
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

SIDE = 64
"""Of the images that a network gets which takes any size."""

HALVED = 400e6
"""Networks of more parameters are computed in bfloat16, so that they fit in 3 GiB."""

WORKS = "works"
TARGETS = (None, lambda scores: -scores.amax(1))
"""The likeliest class, and what speaks against it: the map of one alone may be zero, where nothing speaks for it."""

TIMM: Mapping[str, tuple[str, ...]] = {
    "BEiT": ("beit_base_patch16_224", "img_size=64"),
    "CaiT": ("cait_xxs24_224", "img_size=64"),
    "CoAtNet": ("coatnet_nano_rw_224", "img_size=64"),
    "CoaT": ("coat_lite_tiny",),
    "ConvMixer": ("convmixer_768_32",),
    "ConvNeXt": ("convnext_atto",),
    "ConvNeXt V2": ("convnextv2_atto",),
    "CrossViT": ("crossvit_9_240",),
    "CSPNet": ("cspresnet50",),
    "DaViT": ("davit_tiny",),
    "DeiT": ("deit_tiny_patch16_224", "img_size=64"),
    "DeiT, distilled": ("deit_tiny_distilled_patch16_224", "img_size=64"),
    "DenseNet": ("densenet121",),
    "DLA": ("dla46x_c",),
    "DPN": ("dpn48b",),
    "EdgeNeXt": ("edgenext_xx_small",),
    "EfficientFormer": ("efficientformer_l1",),
    "EfficientNet": ("efficientnet_lite0",),
    "EVA-02": ("eva02_tiny_patch14_224",),
    "FastViT": ("fastvit_t8",),
    "FocalNet": ("focalnet_tiny_srf",),
    "GhostNet": ("ghostnet_050",),
    "gMLP": ("gmlp_ti16_224",),
    "HGNet": ("hgnet_tiny",),
    "HRNet": ("hrnet_w18_small",),
    "Inception": ("inception_v3", "side=96"),
    "InceptionNeXt": ("inception_next_atto",),
    "LeViT": ("levit_128s",),
    "MaxViT": ("maxvit_rmlp_pico_rw_256",),
    "MetaFormer": ("caformer_s18",),
    "MLP-Mixer": ("mixer_s32_224",),
    "MNASNet": ("mnasnet_small",),
    "MobileNet V2": ("mobilenetv2_035",),
    "MobileNet V3": ("mobilenetv3_small_050",),
    "MobileNet V4": ("mobilenetv4_conv_small_035",),
    "MobileViT": ("mobilevit_xxs",),
    "NASNet": ("nasnetalarge", "side=96"),
    "NFNet": ("nf_regnet_b0",),
    "PiT": ("pit_ti_224",),
    "PoolFormer": ("poolformer_s12",),
    "PVT V2": ("pvt_v2_b0",),
    "RegNet": ("regnetx_002",),
    "RepGhost": ("repghostnet_050",),
    "RepVGG": ("repvgg_a0",),
    "Res2Net": ("res2net50_26w_4s",),
    "ResMLP": ("resmlp_12_224",),
    "ResNeSt": ("resnest14d",),
    "ResNet": ("resnet10t",),
    "ResNeXt": ("resnext26ts",),
    "ReXNet": ("rexnet_100",),
    "SE-ResNet": ("legacy_seresnet18",),
    "SENet": ("legacy_seresnext26_32x4d",),
    "SK-ResNet": ("skresnet18",),
    "StarNet": ("starnet_s1",),
    "Swin": ("swin_tiny_patch4_window7_224",),
    "Swin V2": ("swinv2_tiny_window8_256",),
    "TinyViT": ("tiny_vit_5m_224",),
    "TResNet": ("tresnet_m",),
    "Twins": ("twins_pcpvt_small",),
    "VGG": ("vgg11",),
    "Visformer": ("visformer_tiny",),
    "ViT": ("vit_tiny_patch16_224", "img_size=64"),
    "ViT with registers": ("vit_betwixt_patch16_reg4_gap_256", "img_size=64"),
    "VOLO": ("volo_d1_224",),
    "VoVNet": ("ese_vovnet19b_slim_dw",),
    "Xception": ("legacy_xception", "side=96"),
    "XCiT": ("xcit_nano_12_p16_224",),
}
"""Family -> timm's smallest network of it, and how it is built other than by default."""


@dataclass
class Row:
    """What was found of one network.

    Args:
        name: as ``-m`` takes it.
        family: of timm's networks; empty for torchvision's.
        side: of the square image, in pixels.
        parameters: their number.
        traced: how the graph was made.
        results: technique -> ``works``, or why it is refused.
        seconds: what it took.
        versions: of torch, torchvision and timm, as one text.
    """

    name: str
    family: str = ""
    side: int = SIDE
    parameters: int = 0
    traced: str = ""
    results: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    versions: str = ""


def versions() -> str:
    """The versions that networks are tried with, as the page says them."""
    torchs, torchvisions, timms = (
        metadata.version(name).partition("+")[0] for name in ("torch", "torchvision", "timm")
    )
    return f"torch {torchs}, torchvision {torchvisions} and timm {timms}"


def names() -> list[str]:
    """All rows of the table: torchvision's networks, then timm's."""
    return [*catalogue.entries(), *(f"timm/{name}" for name, *_ in TIMM.values())]


def measured(name: str) -> dict[str, Any]:
    """The row of one network, with random weights."""
    start = time.monotonic()
    torch.manual_seed(0)
    network, family = _network(name)
    parameters = sum(parameter.numel() for parameter in network.module.parameters())
    row = Row(name, family, network.spec.size, parameters, versions=versions())
    pixels = torch.rand(1, 3, row.side, row.side)
    row.results = {technique: _outcome(network, pixels, trial) for technique, trial in TRIALS.items()}
    row.traced = _outcome(network, pixels, lambda network, _: network.traced_by)
    row.seconds = round(time.monotonic() - start, 1)
    return asdict(row)


def ended(name: str, code: int) -> dict[str, Any]:
    """The row of a network whose trial ended the process."""
    why = f"Error: the process ended with {code}"
    family = next((family for family, row in TIMM.items() if f"timm/{row[0]}" == name), "")
    return asdict(Row(name, family, traced=why, results=dict.fromkeys(TRIALS, why), versions=versions()))


def peak_memory() -> int:
    """The largest number of bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _network(name: str) -> tuple[Network, str]:
    if name.startswith("timm/"):
        return _timms(name.removeprefix("timm/"))
    entry = catalogue.entry(name)
    if entry.default.parameters > HALVED:
        module = _in_bfloat16(name)
        side = architecture.image_size(module) or SIDE
    else:
        module = architecture.build_random(name, 1000, 0)
        side = architecture.image_size(module) or (entry.default.crop if entry.fixed else max(SIDE, entry.min_size))
    spec = InputSpec(side, min_size=side if entry.fixed else entry.min_size, fixed=entry.fixed)
    return Network(_shaken(module), name=name, spec=spec, optimize=True), ""


def _in_bfloat16(name: str) -> nn.Module:
    """The architecture in bfloat16, with random weights of the usual size."""
    module = architecture.build_on_meta(name, 1000).to(torch.bfloat16).to_empty(device="cpu")
    for part in module.modules():
        is_norm = isinstance(part, nn.BatchNorm2d | nn.LayerNorm)
        for key, tensor in part.state_dict(keep_vars=True).items():
            if "." not in key:
                (nn.init.ones_ if is_norm and key in ("weight", "running_var") else nn.init.zeros_)(tensor.data)
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(part.weight, std=(part.weight[0].numel()) ** -0.5)
        elif isinstance(part, nn.MultiheadAttention):
            nn.init.trunc_normal_(part.in_proj_weight, std=part.embed_dim**-0.5)
    return module


def _timms(name: str) -> tuple[Network, str]:
    family, options = next((family, row[1:]) for family, row in TIMM.items() if row[0] == name)
    given = {key: int(value) for key, _, value in (option.partition("=") for option in options)}
    side = given.pop("side", SIDE)
    module = timm.create_model(name, **given)
    config = module.pretrained_cfg
    if config["fixed_input_size"]:
        side = given.get("img_size", config["input_size"][1])
    spec = InputSpec(side, min_size=side, fixed=config["fixed_input_size"], mean=config["mean"], std=config["std"])
    return Network(_shaken(module.eval()), name=f"timm/{name}", spec=spec), family


@torch.no_grad()
def _shaken(module: nn.Module) -> nn.Module:
    """The module with small random numbers where its authors begin at zero, or nearly so: heads and layer scales.

    With them some scores would be equal, and their maps zero.
    """
    for parameter in module.parameters():
        if parameter.ndim > 0 and parameter.abs().max() < 1e-3:
            parameter.normal_(0, 0.1)
    return module


def _outcome(network: Network, pixels: Tensor, trial: Callable[[Network, Tensor], Any]) -> str:
    """``works``, or what is wrong: the reason given, or an error that should not be."""
    try:
        found = trial(network, pixels)
    except CnnvizError as error:
        return _plain(str(error), network.name)
    except Exception as error:  # which the page then shows
        return " ".join(f"Error: {type(error).__name__}: {error}".split())[:300]
    if isinstance(found, str):
        return found
    if not bool(found.isfinite().all()):
        return "Error: not finite"
    return WORKS if bool(found.any()) else "Error: zero everywhere"


def _plain(reason: str, name: str) -> str:
    """A reason without the network's name, sizes and layers, so that it is the same for all of a kind."""
    reason = reason.replace(name, "the network")
    reason = re.sub(r" \([^()]*(?:\([^()]*\)[^()]*)*\)", "", reason)
    reason = " ".join(reason.split())
    return reason[0].upper() + reason[1:]


def _probability(network: Network, pixels: Tensor) -> Tensor:
    return torch.tensor(network.predict(pixels, 1)[0][0][2])


def _change(network: Network, pixels: Tensor) -> Tensor:
    """What attacks towards two classes add in two steps."""
    return torch.cat([cnnviz.iterative_fgsm(network, pixels, target=each, steps=2) - pixels for each in (1, 2)])


def _dreamed(network: Network, pixels: Tensor) -> Tensor:
    return cnnviz.dream(network, pixels, steps=1, octaves=1, jitter=0) - pixels


def _grad_cam(network: Network, pixels: Tensor) -> Tensor:
    """The maps of both targets."""
    return torch.cat([cnnviz.grad_cam(network, pixels, target) for target in TARGETS])


def _occluded(network: Network, pixels: Tensor) -> Tensor:
    """The same, with a quarter of the image hidden at a time."""
    half = pixels.shape[3] // 2
    return torch.cat([cnnviz.occlusion(network, pixels, each, patch=half, stride=half) for each in TARGETS])


TRIALS: Mapping[str, Callable[[Network, Tensor], Tensor]] = {
    "classify": _probability,
    "saliency": cnnviz.saliency,
    "SmoothGrad": lambda network, pixels: cnnviz.smoothgrad(network, pixels, samples=2),
    "integrated gradients": lambda network, pixels: cnnviz.integrated_gradients(network, pixels, steps=2),
    "guided": cnnviz.guided_backprop,
    "Grad-CAM": _grad_cam,
    "occlusion": _occluded,
    "fool": _change,
    "activations": lambda network, pixels: cnnviz.activation_grid(network, pixels, middle_layer(network)).maps,
    "dream": _dreamed,
    "visualize": lambda network, pixels: cnnviz.visualize(network, 0, steps=2, size=network.spec.size),
}
"""Technique -> what must come out: numbers that are finite, and not all zero."""
