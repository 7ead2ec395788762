import pytest

from bb_core.errors import UsageError
from seal.settings import RANGES, GenerationSettings


def test_every_field_has_a_range_and_its_default_lies_in_it():
    settings = GenerationSettings()
    assert set(RANGES) == set(GenerationSettings.__dataclass_fields__)
    assert all(low <= getattr(settings, name) <= high for name, (low, high) in RANGES.items())


@pytest.mark.parametrize("name", sorted(RANGES))
def test_values_out_of_range_are_refused(name):
    low, high = RANGES[name]
    for value in (low - 1, high + 1, float("nan")):
        with pytest.raises(UsageError, match=f"{name} is .*outside {low} to {high}; choose"):
            GenerationSettings(**{name: value})
