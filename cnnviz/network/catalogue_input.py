"""The input of a network of the catalogue: size, crop and normalization, by its weights and what else is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cnnviz.errors import Remark, UsageError
from cnnviz.network import architecture, catalogue
from cnnviz.network.catalogue import PublishedWeights
from cnnviz.network.catalogue_weights import Loaded
from cnnviz.network.spec import InputSpec, given_spec


def set_input_rescaling(name: str, loaded: Loaded, wanted: bool | None, *, normalized: bool) -> None:
    """Set ``transform_input`` where the network has it; a remark says what is assumed for a file of weights."""
    if name not in architecture.RESCALING:
        return
    if wanted and loaded.channels != 3:
        raise UsageError(f"These weights of {name} take {images_of(loaded)}, which transform_input cannot rescale.")
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


def images_of(loaded: Loaded) -> str:
    return "gray images" if loaded.channels == 1 else f"images of {loaded.channels} channels"


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


def _published_spec(name: str, loaded: Loaded) -> InputSpec:
    """The input of the published weights; where the module takes another size only, that of those of its size."""
    entry = catalogue.entry(name)
    spec = input_spec_of(loaded.published or entry.default)
    side = architecture.image_size(loaded.module)
    if not entry.fixed or side in (None, spec.size):
        return spec
    same = next((input_spec_of(weights) for weights in entry.weights if weights.crop == side), spec)
    return replace(same, size=side, resize=same.resize if same.size == side else None, min_size=side)


def input_spec(name: str, loaded: Loaded, **normalization: Any) -> InputSpec:
    """The input of a network of the catalogue; ``normalization`` is what was given, as for ``given_spec``."""
    if name == catalogue.LENET:
        channels = loaded.channels
        spec = InputSpec(32, 32, 32, fixed=True, channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)
    else:
        spec = _published_spec(name, loaded)
        if loaded.is_own and loaded.channels != 3 and not _is_normalized(**normalization):
            count = "one" if loaded.channels == 1 else loaded.channels
            raise UsageError(
                f"These weights of {name} take {images_of(loaded)}: say how those were normalized, with {count} "
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
