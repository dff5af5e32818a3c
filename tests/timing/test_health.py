"""What speaks against a measurement; every threshold from both sides."""

from __future__ import annotations

from typing import Any

import pytest

from resbench.timing.change import MARGIN
from resbench.timing.health import SLOWING, unhealthy
from resbench.timing.worker.nvml import REASONS
from resbench.timing.worker.seen import MachineState, Round

QUIET = (1.00, 1.01, 1.00, 0.99, 1.00)


def made(
    seconds: tuple[float, ...] = QUIET, *, steady: bool = True, before: MachineState | None = None, **after: Any
) -> Round:
    return Round(seconds, 10, 100, steady, before or MachineState(), MachineState(**after))


def only(*rounds: Round, facts: dict[str, Any] | None = None) -> str:
    """The one reason against these rounds."""
    (reason,) = unhealthy(rounds, facts)
    return reason


def test_a_quiet_machine_is_fit() -> None:
    quiet = made(load=3.0, others=0.1, stolen=0.0, cpu_mhz=3000.0, gpu_temperature=60.0, gpu_processes=0)
    assert unhealthy([quiet, quiet, quiet]) == ()


def test_a_machine_of_which_nothing_is_known_is_judged_by_its_samples() -> None:
    assert unhealthy([made()]) == ()
    assert unhealthy([]) == ()


def test_unsteady() -> None:
    assert "in 1 of 3 rounds" in only(made(steady=False), made(), made())


@pytest.mark.parametrize(("others", "fit"), [(0.5, True), (0.51, False), (1.7, False)])
def test_other_programs(others: float, fit: bool) -> None:
    rounds = [made(others=0.0), made(others=others)]
    assert (unhealthy(rounds) == ()) is fit
    if not fit:
        assert f"used {others:.1f} cores in 1 of 2 rounds: stop them" in only(*rounds)


def test_what_others_did_before_the_round_is_not_held_against_it() -> None:
    assert unhealthy([made(before=MachineState(others=2.0, stolen=1.0))]) == ()


@pytest.mark.parametrize(("stolen", "fit"), [(MARGIN - 0.001, True), (MARGIN, False)])
def test_stolen_time(stolen: float, fit: bool) -> None:
    assert (unhealthy([made(stolen=stolen)]) == ()) is fit


@pytest.mark.parametrize("reason", SLOWING)
@pytest.mark.parametrize("before", [True, False])
def test_a_throttled_gpu(reason: str, before: bool) -> None:
    throttled = MachineState(throttle=(reason,))
    found = only(made(before=throttled) if before else made(throttle=(reason,)))
    assert f"({reason}) by " in found


def test_every_reason_of_the_driver_is_slowing_or_a_setting() -> None:
    assert set(REASONS.values()) - set(SLOWING) == {"applications_clocks_setting", "display_clock_setting"}
    assert unhealthy([made(throttle=("applications_clocks_setting", "display_clock_setting"))]) == ()


@pytest.mark.parametrize(("field", "name"), [("sm_mhz", "SM"), ("cpu_mhz", "CPU")])
def test_a_clock_that_differs_between_rounds(field: str, name: str) -> None:
    # 2000 MHz is by the margin slower than 2100, to the hertz.
    assert unhealthy([made(**{field: 2100.0}), made(**{field: 2001.0})]) == ()
    found = only(made(**{field: 2000.0}), made(**{field: 2100.0}), made())
    assert f"the {name} clock was 2000 MHz in one round and 2100 in another" in found


def test_a_gpu_far_below_its_highest_clock() -> None:
    assert unhealthy([made(sm_mhz=1500.0, sm_mhz_max=2000.0)]) == ()
    assert "ran at 1499 of 2000 MHz" in only(made(sm_mhz=1499.0, sm_mhz_max=2000.0))
    # Locked on purpose, for steady times.
    assert unhealthy([made(sm_mhz=1000.0, sm_mhz_max=2000.0, throttle=("applications_clocks_setting",))]) == ()


def test_a_power_limit_below_the_default() -> None:
    assert unhealthy([made(power_cap=700.0, power_cap_default=700.0)]) == ()
    assert only(made(power_cap=500.0, power_cap_default=700.0)).endswith("sudo nvidia-smi -pl 700")


def test_a_gpu_at_its_own_limit_of_temperature() -> None:
    facts = {"machine": {"gpu": {"slowdown_temperature": 89}}}
    assert unhealthy([made(gpu_temperature=88.0)], facts) == ()
    assert "slows down from 89" in only(made(gpu_temperature=89.0), facts=facts)
    assert unhealthy([made(gpu_temperature=99.0)]) == unhealthy([made(gpu_temperature=99.0)], {"machine": None}) == ()


@pytest.mark.parametrize("before", [True, False])
def test_other_processes_on_the_gpu(before: bool) -> None:
    busy = MachineState(gpu_processes=2)
    assert only(made(before=busy) if before else made(gpu_processes=2)).startswith("2 other processes on the GPU")
    assert only(made(gpu_processes=1)).startswith("1 other process on")


def test_differing_samples_and_processes_are_the_intervals_business() -> None:
    assert unhealthy([made((0.5, 1.0, 1.0, 3.0, 9.0)), made((2.0,)), made((7.0,))]) == ()


def test_others_that_fit_beside_the_case_are_borne() -> None:
    facts = {"machine": {"cpu": {"usable": 4}}}
    busy = [made(others=2.0)]
    assert unhealthy(busy, facts, 2) == ()
    assert "used 2.0 cores" in unhealthy(busy, facts, 3)[0]
    assert "used 2.0 cores" in unhealthy(busy, None, 2)[0]
    assert unhealthy(busy, facts, None) == ()


def test_a_minority_of_disturbed_rounds_does_not_reach_the_median() -> None:
    for state in ({"others": 1.0}, {"stolen": 0.5}):
        assert unhealthy([made(), made(), made(**state)]) == ()
        assert "in 2 of 3 rounds" in unhealthy([made(), made(**state), made(**state)])[0]


def test_all_that_speaks_against_it_is_said() -> None:
    bad = made((1.0, 2.0, 3.0, 4.0), steady=False, others=1.0, stolen=0.5, throttle=("sw_power_cap",))
    assert len(unhealthy([bad])) == 4


def test_every_reason_is_one_line_that_says_what_to_do() -> None:
    bad = made(
        (1.0, 2.0, 3.0, 4.0),
        steady=False,
        **{"others": 1.0, "stolen": 0.5, "throttle": tuple(SLOWING), "cpu_mhz": 1000.0, "gpu_temperature": 95.0},
        **{"sm_mhz": 500.0, "sm_mhz_max": 2000.0, "power_cap": 1.0, "power_cap_default": 2.0, "gpu_processes": 1},
    )
    other = made((9.0,), sm_mhz=2000.0, cpu_mhz=3000.0)
    reasons = unhealthy([bad, other], {"machine": {"gpu": {"slowdown_temperature": 90}}})
    assert len(reasons) == 9 + len(SLOWING)
    for reason in reasons:
        assert "\n" not in reason
        assert ": " in reason
