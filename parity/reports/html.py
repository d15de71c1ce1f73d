"""Reports as one self-contained HTML file."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parity.report import ModuleError, Report
from parity.tolerance import MODULE_BOUND

TEMPLATE = Path(__file__).with_name("report.html.j2")


def render_html(reports: list[Report]) -> str:
    """One page: a table of pairs × checks, and for every failure where it starts, why, and how it is spread.

    Args:
      reports: what was found.

    Returns:
      HTML without any outside reference.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    filters: dict[str, Callable[..., Any]] = {"number": _number, "bar": _bar, "share": _share, "role": _role}
    environment.filters.update(filters)
    checks = list(dict.fromkeys(result.check for report in reports for result in report.results))
    tables: dict[str, Any] = {
        "reports": reports,
        "checks": checks,
        "failures": [report for report in reports if not report.ok],
    }
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(**tables)


def _number(value: float) -> str:
    """A measured error in two digits."""
    return f"{value:.1e}" if math.isfinite(value) else "—"


def _bar(error: float) -> float:
    """Length of an error's bar in per cent: 1e-17 is nothing, 1 and above is everything."""
    if not math.isfinite(error):
        return 100.0
    return round(100 * min(1.0, max(0.0, (math.log10(max(error, 1e-17)) + 17) / 17)), 1)


def _share(count: int, counts: tuple[int, ...]) -> float:
    """Height of a histogram's bar in per cent of the highest, on a square-root scale so that single elements show."""
    return round(100 * math.sqrt(count / max(counts)), 1) if count else 0.0


def _role(module: ModuleError, depth: tuple[ModuleError, ...]) -> str:
    """What a module does with the error on the reference's own input: `own` makes it, `around` holds one that does."""
    if not module.own_error > MODULE_BOUND:
        return "right"
    inside = f"{module.name}." if module.name else ""
    deeper = (other for other in depth if other is not module and other.name.startswith(inside))
    return "around" if any(other.own_error > MODULE_BOUND for other in deeper) else "own"
