"""``cnnviz doctor``."""

from __future__ import annotations

import json


def test_doctor_finds_the_embedded_network(run_cnnviz):
    facts = json.loads(run_cnnviz("doctor", "--json").stdout)
    assert facts["embedded network"].startswith("squeezenet1_1, ")
    assert facts["weights on disk"] == "none"
    assert "embedded network" in run_cnnviz("doctor").stdout
