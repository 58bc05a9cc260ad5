# SPDX-License-Identifier: Apache-2.0
"""What every network's way from checkpoint to Verilator must show."""

from __future__ import annotations

from typing import Any

BACKENDS = ("torch", "qonnx", "golden", "cpu", "rtl")


def check_comparison(result: dict[str, Any], *, pictures: int, layers: int, values: int) -> None:
    """Check what ``api.compare`` found of ``BACKENDS``: no bit differs, and none saw too little.

    Args:
        result: what ``api.compare`` returned.
        pictures: pictures that every backend must have seen.
        layers: layers that every backend must exceed.
        values: compared values that every backend must exceed.
    """
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["first_divergence"] is None
    assert result["values_differing"] == 0
    per_backend = {row["backend"]: row for row in result["backends"]}
    assert set(per_backend) == set(BACKENDS) - {"golden"}
    for row in per_backend.values():
        assert row["pictures"] == pictures
        assert row["layers"] > layers
        assert row["values_compared"] > values
