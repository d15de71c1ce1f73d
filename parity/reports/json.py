"""Reports for machines: one object, or a list of them."""

from __future__ import annotations

import json

from parity.report import Report


def render_json(reports: list[Report]) -> str:
    """One report as an object; several as a list.

    Example:
      >>> render_json([])
      '[]'
    """
    plain = [report.to_dict() for report in reports]
    return json.dumps(plain[0] if len(plain) == 1 else plain, indent=2, allow_nan=False)
