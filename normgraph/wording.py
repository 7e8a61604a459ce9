"""Numbers in sentences."""


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "near miss"), counted(2, "near miss"), counted(1000, "node")
    ('1 near miss', '2 near misses', '1,000 nodes')
    """
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{count:,} {noun if count == 1 else plural}"
