"""The sign of Tollgate, for a browser's tab and for Airflow's navigation."""

from __future__ import annotations

from urllib.parse import quote

_SVG = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32' stroke-width='4'>"
    "<path d='M5 28V11m22 17V11' stroke='#708090'/><path d='M3 13 29 5' stroke='#e0533d'/></svg>"
)
ICON = f"data:image/svg+xml,{quote(_SVG)}"
