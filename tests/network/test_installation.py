"""What is found on this machine."""

from __future__ import annotations

import cnnviz
from cnnviz.network import installation


def test_the_installation_is_described(monkeypatch):
    monkeypatch.setattr(installation, "PACKAGES", ("torch", "no-such-package"))
    found = installation.describe_installation()
    assert found["cnnviz"] == cnnviz.__version__
    assert found["no-such-package"] == "missing (pip install no-such-package)"
    assert found["embedded network"].endswith("loads")
