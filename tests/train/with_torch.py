# SPDX-License-Identifier: GPL-3.0-or-later
"""What every test of train/ begins with: its modules and the reference on the path, and PyTorch, or exit 77 (skipped)."""
import os
import sys
from pathlib import Path

ROOT = Path(os.environ.get("ATTUNE_SRC", Path(__file__).resolve().parents[2]))
sys.path[:0] = [str(ROOT / "train"), str(ROOT / "tests/reference")]
try:
    import torch  # noqa: F401
except ImportError:
    print("no PyTorch for this python: skipped")
    sys.exit(77)
