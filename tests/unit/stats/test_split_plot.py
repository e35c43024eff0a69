"""The strata of a split-plot experiment against their textbook formulas, and unbalanced sweeps."""

import numpy as np
import pytest

from servegrid.stats.split_plot import FEW_DOF, SplitPlot, Value
from servegrid.stats.strata import POOL_DOF, Stratum

Logs = np.ndarray
Keys = tuple[int, int]


def sweep(servers: int, rounds: int, loads: int, seed: int = 1) -> Logs:
    """Logarithms with noise of rounds, sessions and loads; shape (servers, rounds, loads)."""
    draw = np.random.default_rng(seed)
    noise = [draw.normal(0, 0.02, shape) for shape in ((1, rounds, 1), (servers, rounds, 1), (servers, rounds, loads))]
    return noise[0] + noise[1] + noise[2]


def fit(logs: Logs, missing: frozenset[tuple[int, int, int]] = frozenset()) -> SplitPlot:
    """Fit of a sweep, of which some (server, round, load) are missing."""
    places = [place for place in np.ndindex(*logs.shape) if place not in missing]
    return SplitPlot([Value((i, k), i, r, float(logs[i, r, k])) for i, r, k in places])


def mean_squares(logs: Logs) -> tuple[float, float, float]:
    """Mean squares of rounds, of sessions and of loads within sessions, by the formulas for complete data."""
    servers, rounds, loads = logs.shape
    deviations = logs - logs.mean(1, keepdims=True)
    sessions = deviations.mean(2, keepdims=True)
    of_rounds = sessions.mean(0, keepdims=True)
    sums = ((of_rounds**2).sum() * servers * loads, ((sessions - of_rounds) ** 2).sum() * loads)
    within = ((deviations - sessions) ** 2).sum()
    dofs = (rounds - 1, max((servers - 1) * (rounds - 1), 1), max(servers * (rounds - 1) * (loads - 1), 1))
    return sums[0] / dofs[0], sums[1] / dofs[1], within / dofs[2]


SIZES = [(2, 5, 4), (4, 3, 3), (3, 4, 1), (10, 2, 2)]


@pytest.mark.parametrize(("servers", "rounds", "loads"), SIZES)
def test_complete_data_by_the_formulas(servers: int, rounds: int, loads: int) -> None:
    """Variances of contrasts as in a textbook; the members compared are all that there are, so that nothing is moderated."""
    logs = sweep(servers, rounds, loads)
    of_rounds, of_sessions, within = mean_squares(logs)
    of_sessions = max(of_sessions, within)
    model = fit(logs)
    part = of_sessions / loads + within * (loads - 1) / loads
    means = {(i, k): (-1.0) ** i for i in range(servers) for k in range(loads)} if servers == 2 else {}
    if means:
        assert model.contrast(means).variance == pytest.approx(2 * loads * of_sessions / rounds)
    one = model.contrast({(0, 0): 1.0})
    assert one.value == pytest.approx(logs[0, :, 0].mean())
    least = (of_rounds + of_sessions * (servers - 1) + within * servers * (loads - 1)) / (servers * loads * rounds)
    assert one.variance >= least * (1 - 1e-9), "a noisy member is believed, a quiet one is not"
    between = model.contrast({(0, 0): 1.0, (1, 0): -1.0})
    assert (
        between.value == pytest.approx((logs[0] - logs[1])[:, 0].mean())
        and between.variance >= part * 2 / rounds * 0.999999
    )
    if loads > 1:
        inside = model.contrast({(0, 0): 1.0, (0, 1): -1.0})
        assert inside.dof == servers * (rounds - 1) * (loads - 1)
        assert inside.variance >= within * 2 / rounds * 0.999999


def test_degrees_of_freedom_by_satterthwaite() -> None:
    logs = sweep(4, 3, 3)
    _, of_sessions, within = mean_squares(logs)
    model = fit(logs)
    everything = model.contrast(
        {(i, k): weight * (1 if i < 2 else -1) for i in range(4) for k, weight in enumerate((1, 1, 0.5))}
    )
    a, b = of_sessions * 2.5**2 / 3, within * (2.25 - 2.5**2 / 3)
    assert of_sessions > within and everything.variance == pytest.approx(4 * (a + b) / 3)
    assert everything.dof == pytest.approx((a + b) ** 2 / (a**2 / 6 + b**2 / 16))


def test_few_degrees_of_sessions_are_not_eked_out() -> None:
    two = fit(sweep(2, 2, 4)).contrast({(0, 0): 1.0, (1, 0): -1.0})
    assert two.dof == 1 < FEW_DOF


def test_a_noisy_point_is_believed_in_part_and_a_quiet_one_is_not() -> None:
    logs = sweep(8, 3, 2)
    quiet, noisy = logs.copy(), logs.copy()
    noisy[0] *= 2
    quiet[0] *= 0.5
    pair = {(0, 0): 1.0, (0, 1): -1.0}
    within = mean_squares(noisy)[2]
    own = ((noisy[0] - noisy[0].mean(0)) - (noisy[0] - noisy[0].mean(0)).mean(1, keepdims=True)) ** 2
    moderated = (POOL_DOF * within + own.sum()) / (POOL_DOF + 2)
    assert moderated > within and fit(noisy).contrast(pair).variance == pytest.approx(moderated * 2 / 3)
    assert fit(quiet).contrast(pair).variance == pytest.approx(mean_squares(quiet)[2] * 2 / 3)


def test_rounds_are_taken_out_of_a_comparison_and_left_in_a_mean() -> None:
    logs = sweep(6, 2, 3)
    shifted = logs + np.array([0.0, 0.5]).reshape(1, 2, 1)
    pair = {(0, 0): 1.0, (1, 2): -1.0}
    plain, moved = fit(logs).contrast(pair), fit(shifted).contrast(pair)
    assert (moved.value, moved.variance, moved.dof) == pytest.approx((plain.value, plain.variance, plain.dof))
    assert fit(shifted).contrast({(0, 0): 1.0}).variance > 0.5**2 / 8


def test_a_session_that_is_missing_does_not_shift_what_is_compared() -> None:
    """A server without its second round: what that round did to the others is no difference between them."""
    logs = np.zeros((4, 2, 2)) + np.array([0.0, 0.4]).reshape(1, 2, 1)
    logs[0] += 1.0
    contrast = fit(logs, frozenset({(0, 1, 0), (0, 1, 1)})).contrast({(0, 0): 1.0, (1, 0): -1.0})
    assert contrast.value == pytest.approx(1.0), "the plain means differ by 0.8"


def test_unbalanced_data_are_unbiased() -> None:
    """Sessions missing at random, other loads on other servers: variances are right in the mean over many sweeps."""
    draw, ratios, hits = np.random.default_rng(2), [], 0
    for seed in range(300):
        missing = frozenset((int(i), 2, k) for i in draw.choice(6, 2, replace=False) for k in range(4)) | {
            (0, r, 3) for r in range(3)
        }
        contrast = fit(sweep(6, 3, 4, seed), missing).contrast({(0, 0): 1.0, (1, 3): -1.0})
        ratios.append(contrast.value**2 / contrast.variance)
        hits += abs(contrast.value) > 2.2 * contrast.variance**0.5
    assert 0.75 < np.mean(ratios) < 1.25 and hits / 300 < 0.09


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 1, 2), (1, 2, 1)])
def test_what_cannot_be_known_has_no_degrees_of_freedom(shape: tuple[int, int, int]) -> None:
    model = fit(sweep(*shape))
    assert model.contrast({(0, 0): 1.0}).dof == (1 if shape == (1, 2, 1) else 0)


def test_servers_that_do_not_vary_alike_keep_their_own_variance() -> None:
    """Eight servers with 4 degrees of freedom each, one with 100 times the variance: no others pay for it."""
    dofs, server = np.full(8, 4.0), np.arange(8)
    quiet = np.array([4.2, 3.8, 4.4, 3.6, 4.1, 3.9, 4.3]) * 1e-4
    noisy = Stratum(np.append(quiet, 400e-4), dofs, server)
    square, dof = noisy.mean_square(np.array([0, 1]))
    assert 0.5e-4 < square < 3e-4 and 8 < dof < 20
    assert noisy.mean_square(np.array([7]))[0] > 30e-4
    alike = Stratum(np.append(quiet, 8e-4), dofs, server)
    assert alike.mean_square(np.array([0, 1])) == (pytest.approx(alike.squares.sum() / 32), 32)
