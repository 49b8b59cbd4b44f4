"""Training a fast style network, so that it can be watched, stopped at any moment, and gone on with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cnnviz.errors import DivergedError, UsageError
from cnnviz.network.network import Network
from cnnviz.runtime.precision import backward_precision, conv_precision
from cnnviz.runtime.progress import OnStep, Step
from cnnviz.style.dataset import CropDataset
from cnnviz.style.fast import FastStyleConfig, FastStyleNetwork, noise_map
from cnnviz.style.perceptual_loss import PerceptualLoss, random_padding

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_WARM_UP = 50
"""Steps in which the learning rate rises."""
_FALL = 0.3
"""The last share of the steps, in which it falls; level before, so that a training may be made longer or shorter."""
_LARGEST_GRADIENT = 10.0
_PREVIEWS = 3


@dataclass(frozen=True)
class TrainingSettings:
    """How a fast style network is trained. The losses are relative, as ``transfer_style``'s.

    Content and smoothness weigh more than there: a network, opposed to a picture, does not begin as the photo.

    Attributes:
        widths, blocks: of the network; see ``FastStyleConfig``.
        steps: updates of the parameters.
        batch: crops in each.
        crop: their side in pixels, a multiple of 4.
        learning_rate: Adam's, after a warm-up; in the last third it falls to nothing.
        content_weight, style_weight, palette_weight, tv_weight: see ``StyleSettings``.
        content_layers, style_layers: None takes the perceiving network's default.
        style_loss: ``gram``, ``covariance`` or ``wasserstein``.
        style_size: the style pictures' shorter side; smaller makes smaller strokes.
        fade: outer share of a style picture that counts for less and less, so that its frame is not learned.
        average_pooling: the perceiving network averages where it takes maxima.
        augment: vary the colours and sharpness of crops, for few photos.
        precision: ``fp32``, or ``bf16`` or ``fp16`` for mixed precision.
    """

    widths: tuple[int, int, int] = (16, 32, 64)
    blocks: int = 5
    steps: int = 20_000
    batch: int = 4
    crop: int = 256
    learning_rate: float = 2e-3
    content_weight: float = 4.0
    style_weight: float = 1.0
    palette_weight: float = 20.0
    tv_weight: float = 2.0
    content_layers: Sequence[str] | None = None
    style_layers: Sequence[str] | None = None
    style_loss: str = "covariance"
    style_size: int = 384
    fade: float = 0.08
    average_pooling: bool = True
    augment: bool = True
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise UsageError("Training takes at least one step of at least one crop.")
        if self.crop < 32 or self.crop % 4:
            raise UsageError(f"The crop's side must be a multiple of 4 from 32 on, not {self.crop}.")
        if min(self.content_weight, self.style_weight, self.palette_weight, self.tv_weight) < 0:
            raise UsageError("The weights of losses must not be negative.")
        if not 0 <= self.fade <= 0.5:
            raise UsageError(f"The share that fades must lie between 0 and 0.5, not {self.fade}.")
        if self.learning_rate <= 0:
            raise UsageError(f"The learning rate must be positive, not {self.learning_rate}.")


def train_fast_style(
    network: Network,
    styles: Mapping[str, Tensor],
    photos: Sequence[Path | str | Tensor],
    *,
    extend: FastStyleNetwork | None = None,
    start: FastStyleNetwork | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    **settings: Any,
) -> FastStyleNetwork:
    """Train a network that paints photos in these styles in one pass.

    Johnson, Alahi & Fei-Fei, ECCV 2016, arXiv:1603.08155; several styles in one network as Dumoulin et al., ICLR
    2017, arXiv:1610.07629. What is done otherwise is told at ``FastStyleNetwork`` and ``PerceptualLoss``.

    Args:
        network: sees content and style; it stays as it is.
        styles: name -> picture (1, 3, h, w), RGB in [0, 1].
        photos: files, or pixels (1, 3, H, W); damaged ones are skipped.
        extend: a trained network to add the styles to; only the new scales and shifts are trained.
        start: a trained network of these styles, widths and depth to begin with; it stays as it is.
        seed: of the weights, the crops and the noise. The same seed, version and machine give the same network.
        on_step: told after each step; ``terms`` holds ``loss`` and the relative losses ``content``, ``style``,
            ``palette`` and ``tv``, per picture; ``image()`` is a sheet: photos above, each style below.
        settings: the fields of ``TrainingSettings``.

    Returns:
        The trained network, in evaluation mode, on the perceiving network's device.

    Raises:
        UsageError: settings that make no sense.
        ImageError: no photo can be read.
        DivergedError: the loss is no longer a number.
    """
    training = FastStyleTraining(network, styles, photos, TrainingSettings(**settings), seed, extend, start=start)
    return training.run(on_step)


class FastStyleTraining:
    """A training that can be watched, stopped, saved and gone on with; see ``train_fast_style``.

    With ``fabric``, launched, each of its processes makes such a training with the same arguments, the perceiver on
    its own device; they share each batch, and all end with the same network.
    """

    def __init__(
        self,
        loss_network: Network,
        styles: Mapping[str, Tensor],
        photos: Sequence[Path | str | Tensor],
        settings: TrainingSettings | None = None,
        seed: int = 0,
        extend: FastStyleNetwork | None = None,
        fabric: Fabric | None = None,
        start: FastStyleNetwork | None = None,
    ) -> None:
        self.settings = settings = settings or TrainingSettings()
        self.fabric = fabric
        self.rank, self.processes = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
        if settings.batch % self.processes:
            raise UsageError(f"{self.processes} processes cannot share a batch of {settings.batch} evenly.")
        self.seed, self.done = seed, 0
        self.crops = CropDataset(photos, settings.crop, settings.augment)
        self.loss = PerceptualLoss(loss_network, list(styles.values()), settings)
        self.generator = torch.Generator().manual_seed(seed)
        self.names, self.extended = list(styles), extend is not None
        network = self._like(start) if start else self._network(extend)
        self.network = network.to(loss_network.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        parts = self.network.style_parameters() if self.extended else list(self.network.parameters())
        self.optimizer = torch.optim.Adam(parts, lr=settings.learning_rate)
        self.scaler = torch.amp.GradScaler(loss_network.device.type, enabled=settings.precision == "fp16")
        self._module = fabric.setup_module(self.network) if fabric else self.network
        self._previews: Tensor | None = None

    @property
    def skipped(self) -> Mapping[int, str]:
        """Photos left out so far, by number, and why."""
        return self.crops.skipped

    @property
    def remarks(self) -> list[str]:
        """What the user should know of how it went."""
        count = len(self.skipped)
        return [f"{count} of {len(self.crops.photos)} photos could not be read and were left out."] if count else []

    def run(self, on_step: OnStep | None = None) -> FastStyleNetwork:
        """Take the steps that remain and return the network, in evaluation mode."""
        total = self.settings.steps
        while self.done < total:
            terms = self.step()
            if on_step:
                on_step(Step(self.done, total, terms, self.preview))
        return self.network.eval().requires_grad_(False)

    def step(self) -> dict[str, float]:
        """One update; the losses before it, per picture of the batch."""
        settings, device = self.settings, self.network.device
        place = random_padding(self.generator)
        photos, noise, which = self._batch()
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * self._pace()
        with conv_precision(settings.precision, device), self._autocast():
            painted = self._module(photos.to(device), self._shares(which), noise.to(device))
        self._require_numbers(bool(painted.isfinite().all()))
        loss, terms = self.loss(painted, photos.to(device), which, place)
        figures = self._means(torch.stack([loss.detach(), *terms.values()]))  # at once: a GPU is waited for each time
        self._require_numbers(math.isfinite(figures[0]))
        self._update(loss)
        self.done += 1
        return dict(zip(["loss", *terms], figures, strict=True))

    def preview(self) -> Tensor:
        """A sheet (1, 3, H, W): a few crops, the same each time, above what each style makes of them."""
        if self._previews is None:
            self._previews = self.crops.draw(_PREVIEWS, torch.Generator().manual_seed(self.seed + 1))
        photos = self._previews.to(self.network.device)
        rows = [photos]
        with torch.no_grad():
            for index in range(len(self.names)):
                rows.append(self.network(photos, self._shares(torch.full((len(photos),), index))))
        return torch.cat([torch.cat(list(row.split(1)), dim=3) for row in rows], dim=2).cpu()

    def state_dict(self) -> dict[str, Any]:
        """All it takes to go on later with the same styles, photos and settings, to the same end."""
        return {
            "done": self.done,
            "seed": self.seed,
            "styles": list(self.network.styles),
            "settings": {**asdict(self.settings), "photos": len(self.crops.photos)},
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken. UsageError where it belongs to another training; only the number of steps
        may differ."""
        mine = self.state_dict()
        before, now = ({"seed": s["seed"], "styles": s["styles"], **s["settings"]} for s in (state, mine))
        for name, value in now.items():
            if name != "steps" and _plain(before.get(name)) != _plain(value):
                raise UsageError(
                    f"The checkpoint is of a training with {name} {before.get(name)}, not {value}; "
                    "give the same, or another checkpoint."
                )
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.generator.set_state(state["generator"])
        self.done = state["done"]

    def _network(self, extend: FastStyleNetwork | None) -> FastStyleNetwork:
        if extend is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                return FastStyleNetwork(self.names, FastStyleConfig(self.settings.widths, self.settings.blocks))
        network = extend.extended(self.names).requires_grad_(False)
        old = len(extend.styles)
        for part in network.style_parameters():
            part.requires_grad_(True).register_hook(lambda slope: slope.index_fill(0, torch.arange(old), 0.0))
        return network

    def _like(self, start: FastStyleNetwork) -> FastStyleNetwork:
        """A network that begins with what ``start`` has learned."""
        if self.extended:
            raise UsageError("A network is begun with another's weights, or extends it: not both.")
        network = self._network(None)
        mine, its = ((each.styles, each.config.widths, each.config.blocks) for each in (network, start))
        if mine != its:
            raise UsageError(f"The network to begin with has styles, widths and blocks {its}, not {mine}.")
        network.load_state_dict(start.state_dict())
        return network

    def _shares(self, which: Tensor) -> Tensor:
        names = self.network.styles
        chosen = torch.tensor([names.index(self.names[i]) for i in which.tolist()])
        return torch.nn.functional.one_hot(chosen, len(names)).float().to(self.network.device)

    def _require_numbers(self, is_number: bool) -> None:
        if not is_number:
            raise DivergedError(f"The training ran away at step {self.done + 1}; try a smaller learning rate.")

    def _pace(self) -> float:
        """The learning rate of the coming step, as a share: up at first, level, and down to nothing at the end."""
        left = (self.settings.steps - self.done) / self.settings.steps
        return min(1.0, (self.done + 1) / _WARM_UP, left / _FALL)

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """This process's crops, noise, and styles by number; however many processes share them, they are the same."""
        settings = self.settings
        seeds = torch.randint(2**62, (settings.batch,), generator=self.generator).tolist()
        which = (torch.arange(settings.batch) + self.done * settings.batch) % len(self.names)
        own = [torch.Generator().manual_seed(seed) for seed in seeds[self.rank :: self.processes]]
        crops = torch.cat([self.crops.draw(1, generator) for generator in own])
        noise = torch.cat([noise_map(settings.crop, settings.crop, generator=generator) for generator in own])
        return crops, noise, which[self.rank :: self.processes]

    def _means(self, values: Tensor) -> list[float]:
        """The values (K,), averaged over the processes."""
        if self.fabric:
            values = torch.as_tensor(self.fabric.all_reduce(values, reduce_op="mean"))
        return values.tolist()

    def _update(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        scaled = self.scaler.scale(loss)
        with backward_precision():
            if self.fabric:
                self.fabric.backward(scaled)
            else:
                scaled.backward()
        self.scaler.unscale_(self.optimizer)
        parts = [part for group in self.optimizer.param_groups for part in group["params"]]
        torch.nn.utils.clip_grad_norm_(parts, _LARGEST_GRADIENT)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _autocast(self) -> Any:
        kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.settings.precision, torch.bfloat16)
        return torch.autocast(self.network.device.type, kind, enabled=self.settings.precision != "fp32")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


SETTING_NAMES = tuple(field.name for field in fields(TrainingSettings))
