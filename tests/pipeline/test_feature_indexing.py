"""The features of a collection: what is computed, and how it is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from cnnviz.pipeline.collection_job import CollectionJob
from cnnviz.pipeline.config import BatchConfig, InputConfig, NetworkConfig, StoreConfig
from cnnviz.pipeline.recipe import Provenance
from cnnviz.pipeline.reporter import SilentReporter
from cnnviz.tasks.embed_index import EmbedIndex


class CountingReporter(SilentReporter):
    """Counts what its progress bars are told."""

    def __init__(self) -> None:
        self.total = self.advanced = 0

    @contextmanager
    def progress(self, total: int, unit: str) -> Iterator[Callable[[str], None]]:
        self.total += total

        def advance(words: str) -> None:
            self.advanced += 1

        yield advance


def test_the_bar_counts_images_though_a_pass_takes_several(tmp_path: Path) -> None:
    for shade in range(5):
        Image.new("RGB", (40, 40), (40 * shade, 0, 0)).save(tmp_path / f"{shade}.png")
    reporter = CountingReporter()
    job = CollectionJob(
        "features",
        NetworkConfig("squeezenet1_1"),
        InputConfig(size=40, images=[str(tmp_path)]),
        BatchConfig(),
        None,
        provenance=Provenance("embed-index", {}),
        reporter=reporter,
    )
    job(EmbedIndex(store=StoreConfig(tmp_path / "store", batch=2)).run)
    assert (reporter.total, reporter.advanced) == (5, 5)
