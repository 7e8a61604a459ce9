"""Lets ``python -m normgraph`` do what the command ``normgraph`` does."""

import sys

from normgraph.cli import main

if __name__ == "__main__":
    sys.exit(main())
