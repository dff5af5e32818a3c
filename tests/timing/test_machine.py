"""What is read of a machine, from trees of files made by the tests and a library that plays the GPU's driver."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch

from resbench.timing.worker import machine, nvml
from resbench.timing.worker.hardware import cpu_facts, system_facts
from resbench.timing.worker.machine import Meter, facts, state
from resbench.timing.worker.seen import MachineState

TICK = 1 / os.sysconf("SC_CLK_TCK")


class Machine:
    """Files as Linux has them, a clock, and this process's CPU seconds."""

    def __init__(self, root: Path):
        self.root, self.now, self.own = root, 100.0, 0.0
        self.work(0, 0)
        self.write("proc/self/stat", process(ran_on=3))

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def work(self, busy: float, stolen: float) -> None:
        """Seconds of all processors: a third as a user's, a third as the system's, the rest in interrupts."""
        ticks = round(busy / 3 / TICK)
        self.write(
            "proc/stat", f"cpu  {ticks} 0 {ticks} 99999 77 {ticks} 0 {round(stolen / TICK)} 5 5\ncpu0 1 2 3\nintr 5\n"
        )

    def meter(self) -> Meter:
        return Meter(self.root, now=lambda: self.now, own=lambda: self.own)


def process(ran_on: int = 0, seconds: float = 0.0) -> str:
    """/proc/PID/stat of a process with a difficult name."""
    ticks = round(seconds / TICK)
    fields = ["S", *"0" * 10, str(ticks), str(2 * ticks), *"0" * 23, str(ran_on), *"0" * 13]
    return f"1234 (a ) b) {' '.join(fields)}\n"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine that runs the tests has."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)


@pytest.fixture
def fake(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_state_knows_nothing_of_the_time_before(fake: Machine) -> None:
    seen = fake.meter().state()
    assert (seen.others, seen.stolen) == (None, None)


def test_others_are_all_but_this_process(fake: Machine) -> None:
    meter = fake.meter()
    meter.state()
    fake.now, fake.own = 102.0, 1.5
    fake.work(busy=2.7, stolen=0.4)
    seen = meter.state()
    assert (seen.others, seen.stolen) == (pytest.approx(0.6), pytest.approx(0.2))


def test_since_the_state_before(fake: Machine) -> None:
    meter = fake.meter()
    meter.state()
    fake.now += 1
    fake.work(busy=0.9, stolen=0)
    assert meter.state().others == pytest.approx(0.9)
    fake.now += 1
    assert meter.state().others == 0


def test_the_other_side_of_a_pair_is_ours(fake: Machine) -> None:
    fake.write("proc/77/stat", process(seconds=1.0))
    meter = fake.meter()
    meter.state(ours=[77])
    fake.now += 1
    fake.work(busy=0.9, stolen=0)
    fake.write("proc/77/stat", process(seconds=1.2))  # 0.2 as a user's, 0.4 as the system's
    assert meter.state(ours=[77]).others == pytest.approx(0.3)


def test_processes_that_came_or_went_do_not_count(fake: Machine) -> None:
    meter = fake.meter()
    meter.state(ours=[77])
    fake.now += 1
    fake.work(busy=0.9, stolen=0)
    fake.write("proc/77/stat", process(seconds=50.0))
    assert meter.state(ours=[77, 78]).others == pytest.approx(0.9)


def test_own_work_that_the_kernel_has_not_counted_yet_is_not_negative(fake: Machine) -> None:
    meter = fake.meter()
    meter.state()
    fake.now, fake.own = 101.0, 0.05
    assert meter.state().others == 0


def test_too_soon_to_say(fake: Machine) -> None:
    meter = fake.meter()
    meter.state()
    fake.now += 9 * TICK
    fake.work(busy=0.09, stolen=0)
    assert meter.state().others is None


def test_clock_governor_temperature_and_load(fake: Machine) -> None:
    fake.write("proc/loadavg", "1.50 1.20 0.90 2/90 4711\n")
    for cpu, khz in ((0, 800000), (3, 3200000)):
        fake.write(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq", f"{khz}\n")
    fake.write("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave\n")
    fake.write("sys/class/hwmon/hwmon0/name", "nvme\n")
    fake.write("sys/class/hwmon/hwmon0/temp1_input", "30000\n")
    fake.write("sys/class/hwmon/hwmon1/name", "k10temp\n")
    fake.write("sys/class/hwmon/hwmon1/temp1_input", "61500\n")
    seen = fake.meter().state()
    # The clock is that of the processor that this process ran on.
    assert (seen.load, seen.cpu_mhz, seen.governor, seen.cpu_temperature) == (1.5, 3200.0, "powersave", 61.5)


def test_where_nothing_can_be_read_nothing_is_known(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    assert meter.state() == meter.state() == MachineState()


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu a b c d e f g h\n", "\x00\xff"])
def test_a_strange_stat_file_is_no_error(fake: Machine, text: str) -> None:
    fake.write("proc/stat", text)
    assert fake.meter().state().others is None


def test_this_machine() -> None:
    state()
    seen = state(ours=[os.getppid()])
    assert seen.load is None or seen.load >= 0
    found = facts()
    assert found["cpu"] == found["machine"]["cpu"]["name"] != ""
    assert found["machine"]["torch"]["version"] == torch.__version__
    assert 1 <= found["machine"]["cpu"]["usable"] <= found["machine"]["cpu"]["threads"]
    assert msgspec.json.decode(msgspec.json.encode(found)) == found


def test_own_cpu_time_has_the_children() -> None:
    assert machine._own_seconds() >= 0


CPUINFO = """processor\t: {}
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
stepping\t: 1
physical id\t: {}
flags\t\t: fpu vme hypervisor avx2

"""


def test_a_processors_facts(tmp_path: Path) -> None:
    fake = Machine(tmp_path)
    fake.write("proc/cpuinfo", CPUINFO.format(0, 0) + CPUINFO.format(1, 0) + CPUINFO.format(2, 1))
    for index, (level, kind, size) in enumerate([(1, "Data", "32K"), (1, "Instruction", "64K"), (3, "Unified", "32M")]):
        for name, text in (("level", str(level)), ("type", kind), ("size", size)):
            fake.write(f"sys/devices/system/cpu/cpu0/cache/index{index}/{name}", f"{text}\n")
    fake.write("sys/devices/system/cpu/smt/active", "1\n")
    fake.write("sys/devices/system/cpu/cpufreq/boost", "0\n")
    found = cpu_facts(tmp_path)
    assert (found["name"], found["vendor"], found["family"], found["model"]) == ("AMD EPYC", "AuthenticAMD", 25, 17)
    assert (found["sockets"], found["smt"], found["turbo"], found["virtual"]) == (2, True, False, True)
    assert found["caches"] == {"L1d": 32 * 2**10, "L3": 32 * 2**20}


@pytest.mark.parametrize(("no_turbo", "turbo"), [("0", True), ("1", False)])
def test_intels_turbo(tmp_path: Path, no_turbo: str, turbo: bool) -> None:
    Machine(tmp_path).write("sys/devices/system/cpu/intel_pstate/no_turbo", no_turbo)
    assert cpu_facts(tmp_path)["turbo"] is turbo


@pytest.mark.parametrize(
    ("group", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "400000 100000"}, 2.0),
        ("0::/of/the/host\n", {"cpu.max": "50000 100000"}, 0.5),
        ("3:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "300000", "cpu/x/cpu.cfs_period_us": "100000"}, 3.0),
        ("3:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, None),
        ("2:cpuacct:/x\n0::/\n", {}, None),
        ("nonsense\n", {}, None),
    ],
)
def test_a_containers_quota(tmp_path: Path, group: str, files: dict[str, str], quota: float | None) -> None:
    fake = Machine(tmp_path)
    fake.write("proc/self/cgroup", group)
    for name, text in files.items():
        fake.write(f"sys/fs/cgroup/{name}", f"{text}\n")
    assert cpu_facts(tmp_path)["quota"] == quota


def test_a_systems_facts(tmp_path: Path) -> None:
    fake = Machine(tmp_path)
    fake.write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    fake.write("proc/sys/kernel/randomize_va_space", "2\n")
    fake.write("proc/meminfo", "MemTotal:       1024 kB\nMemFree: 5 kB\n")
    found = system_facts(tmp_path)
    assert (found["huge_pages"], found["aslr"], found["memory"]) == ("madvise", 2, 2**20)


class Driver(ModuleType):
    """pynvml with the answers of one GPU; what is not among them raises, as an unsupported question does."""

    def __init__(self, **answers: Any):
        super().__init__("pynvml")
        self.asked, self._answers = list[tuple[Any, ...]](), answers

    def nvmlInit(self) -> None: ...  # noqa: N802

    def nvmlDeviceGetHandleByPciBusId(self, address: str) -> str:  # noqa: N802
        self.asked.append(("address", address))
        return "handle"

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        question = name.removeprefix("nvmlDeviceGet").removeprefix("nvmlSystemGet")

        def answer(*arguments: Any) -> Any:
            self.asked.append((question, *arguments))
            found = self._answers[question]
            return found(*arguments[1:]) if callable(found) else found

        return answer


H200: dict[str, Any] = {
    "ClockInfo": lambda kind: {1: 1755, 2: 3201}[kind],
    "MaxClockInfo": lambda kind: {1: 1980, 2: 3201}[kind],
    "Temperature": lambda sensor: {0: 55}[sensor],
    "TemperatureThreshold": lambda kind: {1: 89}[kind],
    "PowerUsage": 412_345,
    "EnforcedPowerLimit": 600_000,
    "PowerManagementDefaultLimit": 700_000,
    "CurrentClocksEventReasons": 0x1 | 0x4 | 0x20,
    "ComputeRunningProcesses": [SimpleNamespace(pid=os.getpid()), SimpleNamespace(pid=5), SimpleNamespace(pid=6)],
    "DriverVersion": "595.10",
    "CudaDriverVersion_v2": 13020,
    "PersistenceMode": 1,
    "EccMode": [1, 1],
    "MigMode": [0, 0],
}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a GPU whose driver has these answers beside (or instead of) an H200's."""

    def install(begun: bool = True, **answers: Any) -> Driver:
        driver = Driver(**{name: answer for name, answer in (H200 | answers).items() if answer is not ...})
        properties = SimpleNamespace(
            **{
                "name": "NVIDIA H200",
                "major": 9,
                "minor": 0,
                "multi_processor_count": 132,
                "total_memory": 150 * 10**9,
            },
            **{"L2_cache_size": 60 * 2**20, "pci_domain_id": 0, "pci_bus_id": 0xA1, "pci_device_id": 0, "uuid": "u-1"},
        )
        monkeypatch.setitem(sys.modules, "pynvml", driver)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: begun)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
        nvml._open.cache_clear()
        return driver

    yield install
    nvml._open.cache_clear()


def test_a_gpus_state(gpu: Any, fake: Machine) -> None:
    driver = gpu()
    seen = fake.meter().state()
    assert (seen.sm_mhz, seen.sm_mhz_max, seen.memory_mhz, seen.gpu_temperature) == (1755, 1980, 3201, 55)
    assert (seen.power, seen.power_cap, seen.power_cap_default) == (412.345, 600, 700)
    # An idle GPU is no reason.
    assert seen.throttle == ("sw_power_cap", "sw_thermal_slowdown")
    assert seen.gpu_processes == 2
    # Its address on the bus: torch's and the driver's numbers differ.
    assert ("address", "00000000:a1:00.0") in driver.asked


def test_a_gpu_that_is_not_used_is_not_asked(gpu: Any, fake: Machine) -> None:
    driver = gpu(begun=False)
    assert fake.meter().state().sm_mhz is None
    assert driver.asked == []


def test_older_drivers_know_another_question(gpu: Any, fake: Machine) -> None:
    gpu(CurrentClocksEventReasons=..., CurrentClocksThrottleReasons=0x8)
    assert fake.meter().state().throttle == ("hw_slowdown",)


def test_what_the_driver_does_not_answer_is_unknown(gpu: Any, fake: Machine) -> None:
    gpu(**dict.fromkeys(H200, ...))
    assert fake.meter().state() == Meter(fake.root).state()
    assert facts()["machine"]["gpu"]["persistence"] is None


@pytest.mark.parametrize(
    ("running", "ours", "others"),
    [
        ([os.getpid(), 5, 6], (), 2),
        ([os.getpid(), 5, 6], (5,), 1),
        ([os.getpid()], (), 0),
        ([40, 41, 42], (), 2),  # numbered as the host does: one of them is this process
        ([40, 41, 42], (7,), 1),
        ([], (), 0),
    ],
)
def test_other_processes_on_the_gpu(gpu: Any, fake: Machine, running: list[int], ours: Any, others: int) -> None:
    gpu(ComputeRunningProcesses=[SimpleNamespace(pid=pid) for pid in running])
    assert fake.meter().state(ours).gpu_processes == others


def test_without_the_library_torch_still_knows_the_gpu(
    gpu: Any, fake: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert fake.meter().state().sm_mhz is None
    found = facts()
    assert (found["gpu"], found["machine"]["gpu"]["watched"]) == ("NVIDIA H200", False)
    assert found["machine"]["gpu"]["l2"] == 60 * 2**20


def test_a_gpus_facts(gpu: Any) -> None:
    gpu()
    found = facts()["machine"]["gpu"]
    assert (found["name"], found["count"], found["capability"], found["multiprocessors"]) == (
        "NVIDIA H200",
        8,
        "9.0",
        132,
    )
    assert (found["driver"], found["driver_cuda"]) == ("595.10", "13.2")
    assert (found["persistence"], found["ecc"], found["mig"]) == (True, True, False)
    assert (found["power_cap"], found["power_cap_default"], found["slowdown_temperature"]) == (600, 700, 89)


def test_the_drivers_reasons_have_the_names_of_its_header() -> None:
    pynvml = pytest.importorskip("pynvml")
    for bit, name in nvml.REASONS.items():
        constant = "nvmlClocksEventReason" + "".join(part.capitalize() for part in name.split("_"))
        assert getattr(pynvml, constant) == bit
    named = (nvml._SM, nvml._MEMORY, nvml._TEMPERATURE_SENSOR, nvml._SLOWDOWN)
    assert named == (
        pynvml.NVML_CLOCK_SM,
        pynvml.NVML_CLOCK_MEM,
        pynvml.NVML_TEMPERATURE_GPU,
        pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN,
    )


def test_every_question_exists() -> None:
    pynvml = pytest.importorskip("pynvml")
    for question in H200:
        kind = "System" if question in ("DriverVersion", "CudaDriverVersion_v2") else "Device"
        assert hasattr(pynvml, f"nvml{kind}Get{question}")
