"""Every installed domain means what its golden files say, and its requests are granted.

After a change that is meant: `bb domain test NAME --write`, and read the difference.
"""

from __future__ import annotations

import pytest

from bb_domains.domain import installed_domains, load_domain
from bb_domains.golden import FOLDER, check_golden, check_simulator


@pytest.mark.parametrize("name", installed_domains())
def test_the_domain_is_the_golden_one(name: str) -> None:
    domain = load_domain(name)
    assert domain.root is not None
    assert check_golden(domain, domain.root / FOLDER) == []
    assert check_simulator(domain, n=3) == []
