"""Images in a temporary file are those that were appended, to eight bits."""

from __future__ import annotations

import pytest
import torch

from cnnviz.errors import ImageError
from cnnviz.imaging.disk_images import DiskImages


def test_images_are_those_that_were_appended() -> None:
    pixels = (torch.rand(9, 3, 5, 7, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    images = DiskImages(5, 7)
    images.append(pixels[:4])
    images.append(pixels[4:])
    assert images.shape == pixels.shape
    assert torch.equal(images[2:6], pixels[2:6])
    order = torch.tensor([7, 0, 3])
    assert torch.equal(images[order], pixels[order])
    some = images.subset(order)
    assert torch.equal(some[:], pixels[order])
    assert torch.equal(some.subset(torch.tensor([1]))[:], pixels[:1])
    assert images[3:3].shape == (0, 3, 5, 7)


def test_a_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class FullFile:
        def seek(self, offset: int) -> None:
            pass

        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", FullFile)
    with pytest.raises(ImageError, match="No space left"):
        DiskImages(4, 4).append(torch.zeros(1, 3, 4, 4))
