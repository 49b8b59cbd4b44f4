"""The report's page from Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from cnnviz.attribution.registry import DEFAULT_REPORTED, select_methods
from cnnviz.errors import UsageError
from cnnviz.imaging.image_io import ByteChunks, require_target, write_bytes
from cnnviz.network.network import Network
from cnnviz.network.targets import Target
from cnnviz.report.image_report import report_on_image
from cnnviz.report.page import Page
from cnnviz.report.report_input import ReportInput
from cnnviz.report.settings import ReportSettings
from cnnviz.report.subject import ImageInput, each_image, load_subject

_SUFFIXES = (".html", ".htm")


def write_report(
    network: Network,
    images: ImageInput | Iterable[ImageInput],
    path: str | PathLike[str],
    *,
    target: Target = None,
    methods: str | Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    channels: int = ReportSettings.channels,
    top: int = ReportSettings.top,
    fool_into: str | int | None = None,
    title: str | None = None,
    size: int | None = None,
    crop: bool = False,
    show_channels: str | Sequence[int] | None = None,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Write one self-contained page about some images, as the command ``report`` does; returns its path.

    It has the likeliest classes of each image, its map by every method, Grad-CAM of each class, the strongest channels
    of some layers, and an adversarial example.

    Args:
        network: the network to explain.
        images: files, PIL images, or pixels (N, C, H, W) in [0, 1]; one or many.
        path: the file to write, .html.
        target: the class that the maps explain, by index or name, a ``Versus``, or a function of the logits; of each
            image the predicted one if None.
        methods: the names of the methods, as ``"saliency,gradcam"`` or a list; nine that take a short time if None. One
            that is not defined for the network is left out, and the page says why.
        layers: whose channels are shown; None takes four over the depth.
        channels: how many of each layer, strongest first.
        top: how many of the likeliest classes are listed and explained by Grad-CAM.
        fool_into: the class that the adversarial example is taken for; None takes the least likely.
        title: of the page.
        size: of files and PIL images, the shorter side that the network sees; its own if None.
        crop: whether it sees the central square of files and PIL images only.
        show_channels: which channels are shown of images that are no photos, as in ``panel``.
        seed: of everything random.
        force: replace an existing file.

    Raises:
        ImageError: the file exists (without ``force``) or its folder does not; an image that cannot be read, or has
            other channels than the network takes. Nothing is written then.
        UsageError: no images; no such method, class or layer; another extension; a network without gradients.

    Example:
        >>> import tempfile
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> page = f"{tempfile.mkdtemp()}/page.html"
        >>> cnnviz.write_report(network, pixels, page, methods="saliency", layers=["fire2"], top=1).name
        'page.html'
    """
    page_path = Path(path)
    if page_path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"A report is a page, and '{page_path}' is not named .html.")
    require_target(page_path, force)
    network.require_gradients()
    names = methods if isinstance(methods, str) or methods is None else ",".join(methods)
    chosen = select_methods(DEFAULT_REPORTED if names is None else names)
    settings = ReportSettings(chosen, layers, channels, top, target, fool_into)
    page = Page(network)
    for number, image in enumerate(each_image(images), 1):
        subject = load_subject(
            image, network, size=size, crop=crop, show_channels=show_channels, name=f"image {number}"
        )
        name, caption = subject.source.name, subject.caption
        page.add(
            report_on_image(
                ReportInput(network, name, subject.photo, subject.pixels, None, seed, caption=caption), settings
            )
        )
    html = page.html({"seed": seed}, title or f"What {network.name} sees")
    # File names need not be text.
    chunks = ByteChunks(lambda: (piece.encode(errors="backslashreplace") for piece in html()))
    return write_bytes(chunks, page_path, force=force)
