"""Lets ``python -m normgraph`` do what the command ``normgraph`` does."""

from normgraph.cli import program

if __name__ == "__main__":
    program()
