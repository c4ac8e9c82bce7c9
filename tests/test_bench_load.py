"""What `twinset bench load` says of a service's memory over time."""

import pytest

from twinset.bench.load import SERIES, over_time


def test_growth_is_that_of_the_time_past_capacity():
    looks = [(float(second), 100.0 + min(second, 300)) for second in range(600)]
    told = over_time(looks, 0)
    assert told["highest_mb"] == 400 and 10 < told["grows_mb_a_minute"] < 60
    assert over_time(looks, 300)["grows_mb_a_minute"] == pytest.approx(0, abs=1e-6)
    assert over_time(looks[:300], 0)["grows_mb_a_minute"] == pytest.approx(60)
    assert len(told["series"]) <= SERIES and told["series"][0] == [0, 100]


@pytest.mark.parametrize("looks", [[], [(0.5, 80.0)]])
def test_too_few_looks_tell_no_growth(looks):
    assert over_time(looks, 0)["grows_mb_a_minute"] == 0
