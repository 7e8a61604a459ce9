"""What isn't a normalization is never fused, and the reason given is the decisive one."""

import pytest

from tests.cases import Build
from tests.claims import Trap
from tests.optimizing import operators, optimized
from tests.running import builds, label
from tests.traps import TABLES


def every() -> list[object]:
    return [
        pytest.param(case, how, id=f"{case.name}-{label(how)}")
        for table in TABLES.values()
        for case in table
        for how in builds(case)
    ]
