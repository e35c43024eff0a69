import numpy as np
import pytest

from servegrid.metrics.drift import drift


def series(growth: float, noise: float, number: int = 200, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    times = np.arange(number, dtype=float)
    values = (1 + growth * times / number) * (1 + noise * np.random.default_rng(seed).standard_normal(number))
    return times, np.abs(values)


@pytest.mark.parametrize("growth", [0.3, -0.3])
def test_a_planted_drift_is_found_with_its_size(growth: float) -> None:
    assert drift(*series(growth, 0.1)) == pytest.approx(growth / (1 + growth / 2), rel=0.25)


def test_noise_is_seldom_called_a_drift() -> None:
    drifts = [drift(*series(0, 0.5, seed=seed)) for seed in range(200)]
    assert sum(value != 0 for value in drifts) <= 6


def test_a_small_drift_is_not_worth_a_word() -> None:
    assert drift(*series(0.05, 0.001)) == 0


def test_too_few_values_are_unknown() -> None:
    assert drift(*series(1, 0, number=49)) is None


def test_the_order_of_the_rows_does_not_matter() -> None:
    times, values = series(0.3, 0.1)
    shuffled = np.random.default_rng(2).permutation(len(times))
    assert drift(times[shuffled], values[shuffled]) == drift(times, values)
