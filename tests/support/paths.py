"""Where the repository's own files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
FIXTURES: Final = ROOT / "fixtures"
