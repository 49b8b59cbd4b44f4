"""Commands over a folder: what they hold does not grow with the number of photos."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import tracemalloc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz.adversarial.settings import UniversalSettings
from cnnviz.errors import ImageError
from cnnviz.imaging.disk_images import DiskImages
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.reporter import SilentReporter
from cnnviz.tasks.universal import Universal

NET = ("-m", "squeezenet1_1")
A_PHOTO = 50_000  # bytes


def make_photos(folder, count, size=(96, 72)):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(count):
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        small.resize(size, Image.Resampling.BICUBIC).save(folder / f"{n:04d}.jpg")
    return folder


def live_tensor_bytes() -> int:
    gc.collect()
    sizes = {}
    for found in gc.get_objects():
        if type(found) is torch.Tensor:
            with contextlib.suppress(RuntimeError):  # a sparse or packed one of another test has no storage to ask
                storage = found.untyped_storage()
                sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())


def test_universal_holds_only_the_photos_it_works_on(squeezenet, tmp_path):
    held = []

    class Watching(SilentReporter):
        def progress(self, total, unit):
            return contextlib.nullcontext(lambda words: held.append(live_tensor_bytes()))

    task = Universal(training=UniversalSettings(passes=1), held_out=0)
    for count in (2, 6):
        folder = make_photos(tmp_path / str(count), count)
        task.run(squeezenet, ImageCollection.of(InputConfig(images=[str(folder)]), Watching(), "universal"))
    assert len(held) == 2
    assert held[1] - held[0] < 4 * A_PHOTO


def test_a_perturbation_learned_from_disk_images_is_that_of_the_tensor(squeezenet):
    from cnnviz.adversarial.universal import fooled_by, universal_perturbation

    pictures = (torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    shelf = DiskImages(64, 64)
    shelf.append(pictures)
    for method in ("gradient", "deepfool"):
        of_tensor, of_shelf = (
            universal_perturbation(squeezenet, some, method=method, passes=1) for some in (pictures, shelf)
        )
        assert float(of_tensor.abs().max()) > 0
        assert torch.equal(of_tensor, of_shelf)
    assert torch.equal(fooled_by(squeezenet, pictures, of_tensor), fooled_by(squeezenet, shelf, of_tensor))


def test_thumbnails_are_opened_as_they_are_drawn_and_let_go(tmp_path, monkeypatch):
    from cnnviz.features import thumbnails
    from cnnviz.features.layout import scatter_layout
    from cnnviz.features.store import Entry, Store
    from cnnviz.figures.map_figure import map_figure
    from cnnviz.figures.map_page import MapPoint, map_page

    store, keys = Store(tmp_path / "store", 4, np.uint8), [f"{n:064x}" for n in range(150)]
    payloads = [thumbnails.thumbnail(Image.new("RGB", (20, 10), (n, 0, 0))) for n in range(150)]
    store.add([Entry(key, np.zeros(4, np.uint8), payload) for key, payload in zip(keys, payloads, strict=True)])
    references, most = [], []
    opened = thumbnails.open_thumbnail

    def watched(data):
        found = opened(data)
        references.append(weakref.ref(found))
        most.append(sum(reference() is not None for reference in references))
        return found

    monkeypatch.setattr(thumbnails, "open_thumbnail", watched)
    thumbs = thumbnails.Thumbnails(store, keys)
    points = np.random.default_rng(0).normal(size=(150, 2))
    map_figure(thumbs, scatter_layout(points))
    map_page(thumbs, scatter_layout(points), points, [MapPoint(key) for key in keys], {}, title="")
    assert len(most) == 300
    assert max(most) <= 3
    assert [thumbs[n].getpixel((0, 0))[0] // 50 for n in (149, 3, 80)] == [149 // 50, 0, 80 // 50]
    assert [thumb.size for thumb in thumbs[10:12]] == [(20, 10)] * 2
    with pytest.raises(IndexError):
        thumbs[150]


def test_neighbors_turn_a_part_at_a_time_into_floats():
    from cnnviz.features.neighbors import nearest_neighbors

    vectors = np.random.default_rng(0).integers(0, 256, (5_000, 3_072), dtype=np.uint8)
    tracemalloc.start()
    indices, _ = nearest_neighbors(vectors[4_321:4_322], vectors, 3, index="exact")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert indices[0, 0] == 4_321
    assert peak < vectors.nbytes * 1.5  # all as floats are four times as much


@pytest.mark.parametrize("command", ["patches", "embed", "neighbors"])
def test_few_pictures_go_through_the_network_together_on_a_cpu(run_cnnviz, tmp_path, monkeypatch, command):
    from cnnviz.network.network import Network

    make_photos(tmp_path / "photos", 10)
    seen, features = [], Network.features

    def watched(self, pixels, layers):
        seen.append(len(pixels))
        return features(self, pixels, layers)

    monkeypatch.setattr(Network, "features", watched)
    asked = ["photos/0000.jpg", "photos"] if command == "neighbors" else ["photos"]
    more = {"patches": ("--layer", "fire3"), "embed": ("--method", "pca")}.get(command, ())
    here = ("-s", 64, "--device", "cpu", "--store", "store")
    assert run_cnnviz(command, *asked, *NET, *more, *here).exit_code == 0
    assert max(seen) == 4
    seen.clear()
    assert run_cnnviz(command, *asked, *NET, *more, *here[:-1], "other", "--batch", 10, "--force").exit_code == 0
    assert max(seen) == 10


@pytest.mark.slow
def test_a_page_holds_only_the_report_it_works_on(run_cnnviz, tmp_path, monkeypatch):
    import cnnviz.report.image_report
    from cnnviz.imaging import image_io

    make_photos(tmp_path / "photos", 6, size=(320, 240))
    reports, alive, held, writing = [], [], [], []
    report_on_image, write_bytes = cnnviz.report.image_report.report_on_image, image_io.write_bytes

    def watched(*arguments):
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
        alive.append(sum(report() is not None for report in reports))
        report = report_on_image(*arguments)
        reports.append(weakref.ref(report))
        return report

    def written(*arguments, **settings):
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        path = write_bytes(*arguments, **settings)
        writing.append(tracemalloc.get_traced_memory()[1] - before)
        return path

    monkeypatch.setattr(cnnviz.report.image_report, "report_on_image", watched)
    monkeypatch.setattr(image_io, "write_bytes", written)
    monkeypatch.setattr(cnnviz.report.image_report, "adversarial_example", lambda *_: None)  # it takes its time
    few = ("--methods", "saliency,gradcam", "--layer", "fire9", "--top", 2)
    tracemalloc.start()
    try:
        made = run_cnnviz("report", "photos", *NET, "--size", 64, *few, "-o", "page.html")
    finally:
        tracemalloc.stop()
    assert made.exit_code == 0, made.stderr
    assert len(alive) == 6 and max(alive) <= 1  # the last one, until the next is there
    assert held[5] - held[2] < 3 * A_PHOTO  # the second image still fills caches that the first left empty
    size = (tmp_path / "page.html").stat().st_size
    assert len(writing) == 1 and writing[0] < size / 2


def test_a_page_is_the_same_each_time_and_in_pieces_of_a_report(squeezenet):
    from cnnviz.pipeline.command_line import numbered_commands
    from cnnviz.report.image_report import report_on_image
    from cnnviz.report.page import Page, report_page
    from cnnviz.report.report_input import ReportInput
    from cnnviz.report.settings import ReportSettings

    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    photo = Image.fromarray((pixels[0].permute(1, 2, 0) * 255).byte().numpy())
    recipe = {"command": "report", "inputs": ["a.png"], "seed": 0}
    plan = ReportSettings(layers=["fire9"], channels=2, top=1, fool_into="goldfish")
    first = report_on_image(ReportInput(squeezenet, "a", photo, pixels, recipe), plan)
    reports = [first, replace(first, name="b\udcff"), replace(first, name="<c>")]
    page = Page(squeezenet, numbered_commands())
    for report in reports:
        page.add(report)
    html = page.html(recipe, "title")
    pieces = list(html())
    assert "".join(pieces) == "".join(html()) == report_page(reports, squeezenet, recipe, numbered_commands(), "title")
    assert len([piece for piece in pieces if "<article" in piece]) == 3
    assert "b\udcff" in "".join(pieces) and "<c>" not in "".join(pieces)


def test_a_full_disk_is_an_error_that_names_it(squeezenet, monkeypatch):
    from cnnviz.report.image_report import ImageReport
    from cnnviz.report.maps import MapFigures
    from cnnviz.report.page import Page
    from cnnviz.report.page_figure import PageFigure

    class Full:
        def seek(self, *arguments):
            return 0

        def write(self, content):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("cnnviz.report.page.tempfile.TemporaryFile", Full)
    cat = (281, "tabby", 0.9)
    photo = PageFigure("cat.jpg", Image.new("RGB", (8, 8)), recipe={})
    with pytest.raises(ImageError, match="No space left"):
        Page(squeezenet, lambda recipe: "cnnviz report").add(
            ImageReport("cat.jpg", photo, (8, 8), [cat], cat, MapFigures([], {}), [], [], None)
        )


def peak_of(command, folder):
    """The most memory that a process of its own has held, in bytes."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


SMALL = f"{' '.join(NET)} -s 64 -f"
COMMANDS = {
    "classify": f"classify {{0}} --json {' '.join(NET)} -s 64",
    "saliency": f"saliency {{0}} -o out/ {SMALL}",
    "guided": f"guided {{0}} -o out/ {SMALL}",
    "gradcam": f"gradcam {{0}} -o out/ {SMALL}",
    "occlusion": f"occlusion {{0}} -o out/ {SMALL}",
    "compare": f"compare {{0}} --methods saliency,gradcam -o out/ {SMALL}",
    "fool": f"fool {{0}} --method fgsm -o out/ {SMALL}",
    "activations": f"activations {{0}} --layer fire5 -o out/ {SMALL}",
    "patches": f"patches {{0}} --layer fire5 --store {{0}}.store {SMALL}",
    "embed": f"embed {{0}} --store {{0}}.store {SMALL}",
    "embed-index": f"embed-index {{0}} --store {{0}}.store {' '.join(NET)} -s 64",
    "neighbors": f"neighbors {{0}}/0001.jpg {{0}} --store {{0}}.store {SMALL}",
    "universal": f"universal {{0}} --passes 1 {SMALL}",
    "apply a perturbation": f"universal --apply learned.safetensors {{0}} -o out/ {SMALL}",
    "dream": f"dream {{0}} --octaves 1 --steps 1 -o out/ {SMALL}",
    "invert": f"invert {{0}} --layer fire5 --steps 1 -o out/ {SMALL}",
    "report": f"report {{0}} --methods saliency --layer fire9 --top 2 {SMALL}",
    "fast-style": "fast-style apply {0} --style mosaic -s 64 -o out/ -f",
    "train": "fast-style train mosaic.jpg --content {0} --steps 200 --crop 32 --style-size 64 --widths 4,4,4 -f "
    + " ".join(NET),
}


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform == "win32", reason="a process's peak is told by wait4")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_photo_more_is_less_than_fifty_kilobytes_more(cnnviz_command, tmp_path, samples, name):
    """A photo decoded is ten times as much, the pixels that the network sees are 65 kB."""
    (tmp_path / "mosaic.jpg").write_bytes((samples / "mosaic.jpg").read_bytes())
    few, many = 200, 400  # what is kept once (PyTorch's for each shape it meets) is there after 200
    for count in (8, few, many):
        make_photos(tmp_path / str(count), count, size=(480, 360))
    if name == "apply a perturbation":
        peak_of([*cnnviz_command, *f"universal 8 --passes 1 {SMALL} -o learned.png".split()], tmp_path)
    first, second = (
        peak_of([*cnnviz_command, *COMMANDS[name].format(count).split(), "-q"], tmp_path) for count in (few, many)
    )
    assert second - first < (many - few) * A_PHOTO, (first, second)
