"""Training of a fast style network, which can be watched, stopped at any moment, and resumed."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cnnviz.errors import DivergedError, UsageError
from cnnviz.network.checks import require_photos
from cnnviz.network.network import Network
from cnnviz.runtime.precision import backward_precision, conv_precision
from cnnviz.runtime.progress import OnStep, Step
from cnnviz.style.dataset import CropDataset
from cnnviz.style.fast import FastStyleNetwork, noise_map
from cnnviz.style.held_out import Improvement, held_out_numbers, interval, preview_sheet
from cnnviz.style.perceptual_loss import PerceptualLoss, random_padding
from cnnviz.style.settings import FastStyleConfig, TrainingSettings
from cnnviz.synthesis.settings import build_settings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_WARM_UP = 50
"""Steps in which the learning rate rises."""
_DECAY = 0.3
"""Last fraction of the steps, in which the learning rate falls; constant before, so that the length may change."""
_LARGEST_GRADIENT = 10.0
_PREVIEWS = 3
"""Crops in a preview where no photo is kept back."""
_TIMED = 3
"""Steps, after a first, by which the duration of a training is estimated."""
_WORTH_TIMING = 100
"""Steps from which on the duration is estimated."""


def train_fast_style(
    network: Network,
    styles: Mapping[str, Tensor],
    photos: Sequence[Path | str | Tensor],
    *,
    extend: FastStyleNetwork | None = None,
    start: FastStyleNetwork | None = None,
    settings: TrainingSettings | None = None,
    seed: int = 0,
    minutes: float | None = None,
    on_step: OnStep | None = None,
    **options: Any,
) -> FastStyleNetwork:
    """A network trained to render photos in these styles in one pass.

    Johnson, Alahi & Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016,
    arXiv:1603.08155; several styles in one network as Dumoulin, Shlens & Kudlur, "A Learned Representation for
    Artistic Style", ICLR 2017, arXiv:1610.07629. Deviations are listed at ``FastStyleNetwork`` and ``PerceptualLoss``.

    Args:
        network: the loss network, whose features are compared; it is not changed.
        styles: name -> image (1, 3, h, w), RGB in [0, 1].
        photos: files, or pixels (1, 3, H, W) in [0, 1]; damaged files are skipped.
        extend: a trained network to add the styles to; only the new scales and shifts are trained.
        start: a trained network of the same styles, widths and depth, whose weights are the initial ones; it is not
            changed.
        settings: None takes the defaults of ``TrainingSettings``.
        seed: of the weights, the crops and the noise. The same seed, version and machine give the same network.
        minutes: take as many steps as this time allows, in place of ``steps``, by the time the first ones take.
        on_step: called after each step; ``terms`` holds ``loss`` and the relative losses ``content``, ``style``,
            ``palette``, ``tv`` and ``lightness``, per image; ``image()`` is a sheet: photos above, each style below.
        options: fields of ``TrainingSettings``, which replace those of ``settings``.

    Returns:
        The trained network, in evaluation mode, on the loss network's device.

    Raises:
        UsageError: a setting out of range, or a network to extend or start from that does not fit.
        ImageError: no photo can be read.
        DivergedError: the loss is not finite.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> styles = {"starry": cnnviz.read_image("sample_images/starry.jpg", size=64)}
        >>> photos = ["sample_images/chelsea.png"]
        >>> small = {"widths": (4, 4, 4), "blocks": 1, "crop": 32, "style_size": 64}
        >>> cnnviz.train_fast_style(network, styles, photos, steps=2, batch=1, **small).styles
        ('starry',)
    """
    chosen = build_settings(TrainingSettings, settings, options)
    return FastStyleTraining(network, styles, photos, chosen, seed, extend, start=start, minutes=minutes).run(on_step)


class FastStyleTraining:
    """A training that can be watched, stopped, saved and resumed; see ``train_fast_style``.

    With a launched ``fabric``, each of its processes makes such a training with the same arguments, the loss network
    on its own device; they divide each batch, and all end with the same network.

    ``improvement`` has the losses on the photos kept back. ``on_estimate``, if set, is called as ``run`` begins, with
    the number of steps to come and the seconds they will take.
    """

    on_estimate: Callable[[int, float], None] | None = None

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
        minutes: float | None = None,
    ) -> None:
        if minutes is not None and not 0 < minutes < math.inf:
            raise UsageError(f"A training takes a positive number of minutes, not {minutes}.")
        require_photos(loss_network, "A style network")
        self.settings = settings = settings or TrainingSettings()
        self.fabric = fabric
        self.rank, self.processes = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
        if settings.batch % self.processes:
            raise UsageError(f"{self.processes} processes cannot share a batch of {settings.batch} evenly.")
        self.seed, self.done, self.minutes = seed, 0, minutes
        self._held_out = held_out_numbers(len(photos), settings.held_out)
        self.crops = CropDataset(photos, settings.crop, settings.augment, self._held_out)
        self.improvement = Improvement()
        self.styles = list(styles.values())
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
        """The photos skipped so far, by number, and why."""
        return self.crops.skipped

    @property
    def remarks(self) -> list[str]:
        """What went wrong and was mended, one sentence each."""
        count = len(self.skipped)
        return [f"{count} of {len(self.crops.photos)} photos could not be read and were left out."] if count else []

    def run(self, on_step: OnStep | None = None) -> FastStyleNetwork:
        """Take the remaining steps and return the network, in evaluation mode."""
        self._estimate()
        total = self.settings.steps
        while self.done < total:
            terms = self.step()
            if self.done % interval(total) == 0 and self._held_out:
                self.improvement.add(self.done, self.held_out_loss())
            if on_step:
                on_step(Step(self.done, total, terms, self.preview))
        return self.network.eval().requires_grad_(False)

    def step(self) -> dict[str, float]:
        """One update of the parameters; the losses before it, per image of the batch."""
        settings, device = self.settings, self.network.device
        padding = random_padding(self.generator)
        photos, noise, styles = self._batch()
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * self._learning_rate_factor()
        with conv_precision(settings.precision, device), self._autocast():
            images = self._module(photos.to(device), self._style_weights(styles), noise.to(device))
        self._require_finite(bool(images.isfinite().all()))
        loss, terms = self.loss(images, photos.to(device), styles, padding)
        values = self._means(torch.stack([loss.detach(), *terms.values()]))  # at once: each read waits for a GPU
        self._require_finite(math.isfinite(values[0]))
        self._update(loss)
        self.done += 1
        return dict(zip(["loss", *terms], values, strict=True))

    def preview(self) -> Tensor:
        """A sheet (1, 3, H, W): held-out photos (or fixed crops), and below, each style and them painted in it."""
        photos = self._previewed().to(self.network.device)
        painted = [self._painted(photos, index) for index in range(len(self.names))]
        return preview_sheet(self.styles, photos, painted).cpu()

    def held_out_loss(self) -> float:
        """The loss on what the previews show, averaged over the styles."""
        photos = self._previewed().to(self.network.device)
        losses = []
        for index in range(len(self.names)):
            painted = self._painted(photos, index)
            with torch.no_grad():
                losses.append(self.loss(painted, photos, torch.full((len(photos),), index))[0])
        return float(torch.stack(losses).mean())

    def seconds_per_step(self) -> float:
        """How long a step takes here and now; afterwards everything is as it was."""
        state = copy.deepcopy(self.state_dict())
        self.step()
        started = time.perf_counter()
        for _ in range(_TIMED):
            self.step()
        taken = (time.perf_counter() - started) / _TIMED
        self.load_state_dict(state)
        return self._means(torch.tensor([taken], device=self.network.device))[0]

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from, with the same styles, photos and settings, to the same result."""
        return {
            "done": self.done,
            "seed": self.seed,
            "styles": list(self.network.styles),
            "settings": {**asdict(self.settings), "photos": len(self.crops.photos)},
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "generator": self.generator.get_state(),
            "held_out": self.improvement.losses,
            "stopped_at": self.improvement.stopped_at,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a ``state_dict``.

        Raises:
            UsageError: it belongs to another training; only the number of steps may differ.
        """
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
        self.improvement = Improvement([tuple(each) for each in state["held_out"]], state["stopped_at"])
        if self.minutes is not None:
            self.settings = replace(self.settings, steps=state["settings"]["steps"])

    def _estimate(self) -> None:
        """Find the number of steps, where a time is given, and tell how long they will take."""
        planned = self.minutes is not None and not self.done
        left = self.settings.steps - self.done
        if not planned and (self.on_estimate is None or left < _WORTH_TIMING):
            return
        seconds = self.seconds_per_step()
        if planned and self.minutes is not None:
            left = max(1, int(60 * self.minutes / seconds))
            self.settings = replace(self.settings, steps=left)
        if self.on_estimate is not None:
            self.on_estimate(left, left * seconds)

    def _previewed(self) -> Tensor:
        if self._previews is None:
            drawn = self.crops.middles(self._held_out)
            generator = torch.Generator().manual_seed(self.seed + 1)
            self._previews = self.crops.draw(_PREVIEWS, generator) if drawn is None else drawn
        return self._previews

    def _painted(self, photos: Tensor, index: int) -> Tensor:
        """Photos (N, 3, s, s) in the style of that number."""
        noise = noise_map(photos.shape[2], photos.shape[3])
        with torch.no_grad():
            return self.network(photos, self._style_weights(torch.full((len(photos),), index)), noise)

    def _network(self, extend: FastStyleNetwork | None) -> FastStyleNetwork:
        if extend is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                return FastStyleNetwork(self.names, FastStyleConfig(self.settings.widths, self.settings.blocks))
        network = extend.extended(self.names).requires_grad_(False)
        old = len(extend.styles)
        for part in network.style_parameters():
            part.requires_grad_(True).register_hook(lambda grad: grad.index_fill(0, torch.arange(old), 0.0))
        return network

    def _like(self, start: FastStyleNetwork) -> FastStyleNetwork:
        """A new network for these styles that starts with the weights of ``start``."""
        if self.extended:
            raise UsageError("A network starts from another's weights, or extends it: not both.")
        network = self._network(None)
        own, other = ((each.styles, each.config.widths, each.config.blocks) for each in (network, start))
        if own != other:
            raise UsageError(f"The network to start from has styles, widths and blocks {other}, not {own}.")
        network.load_state_dict(start.state_dict())
        return network

    def _style_weights(self, styles: Tensor) -> Tensor:
        names = self.network.styles
        chosen = torch.tensor([names.index(self.names[i]) for i in styles.tolist()])
        return torch.nn.functional.one_hot(chosen, len(names)).float().to(self.network.device)

    def _require_finite(self, is_finite: bool) -> None:
        if not is_finite:
            raise DivergedError(f"The training diverged at step {self.done + 1}; try a smaller learning rate.")

    def _learning_rate_factor(self) -> float:
        """The factor of the next step's learning rate: rising, constant, then falling to 0."""
        left = (self.settings.steps - self.done) / self.settings.steps
        return min(1.0, (self.done + 1) / _WARM_UP, left / _DECAY)

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """This process's crops, noise maps and style numbers; the whole batch is the same for any number of them."""
        settings = self.settings
        seeds = torch.randint(2**62, (settings.batch,), generator=self.generator).tolist()
        styles = (torch.arange(settings.batch) + self.done * settings.batch) % len(self.names)
        own = [torch.Generator().manual_seed(seed) for seed in seeds[self.rank :: self.processes]]
        crops = torch.cat([self.crops.draw(1, generator) for generator in own])
        noise = torch.cat([noise_map(settings.crop, settings.crop, generator=generator) for generator in own])
        return crops, noise, styles[self.rank :: self.processes]

    def _means(self, values: Tensor) -> list[float]:
        """The values (K,) averaged over the processes."""
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
