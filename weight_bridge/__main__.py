"""`python -m weight_bridge`."""

from __future__ import annotations

import sys

from weight_bridge._cli import main

if __name__ == "__main__":
    sys.exit(main())
