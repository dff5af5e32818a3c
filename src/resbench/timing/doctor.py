"""Is this machine fit to measure?  Facts, each with a judgement and what to do about it; nothing is changed.

As ``pyperf system show`` and TorchBench's ``machine_config.py`` look at a machine, with GPUs; setting the machine up is
left to its owner, who is told the command.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from resbench.errors import UserError
from resbench.reports.words import clean, wrap
from resbench.timing.findings import Finding, cpu_findings, general_findings, gpu_findings

__all__ = ["WATCH", "diagnose", "findings_json", "findings_table"]

WATCH = 0.5
"""Seconds of looking at what other programs do: fifty of the kernel's ticks, an error of 0.02 cores."""


def diagnose(device: str | None = None, *, sleep: Callable[[float], None] = time.sleep) -> list[Finding]:
    """Look at this machine for about half a second.

    ``device``: ``cpu`` or ``cuda``; None is both, the GPU only where there is one.

    Raises:
        UserError: no such device, or ``cuda`` where torch has no GPU.
    """
    from resbench.records.environment import environment
    from resbench.timing.worker.machine import Meter, facts

    if device not in (None, "cpu", "cuda"):
        raise UserError(f"--device {device}: cpu or cuda")
    found = {**environment(), **facts()}
    if device == "cuda" and found["gpu"] is None:
        raise UserError("--device cuda: torch finds no GPU here; see nvidia-smi, and whether torch was built with CUDA")
    problem = _gpu_problem() if device != "cpu" and found["gpu"] is not None else ""
    meter = Meter()
    meter.state()
    sleep(WATCH)
    state = meter.state()
    findings = general_findings(found)
    if device != "cuda":
        findings += cpu_findings(found["machine"], state)
    if device != "cpu":
        findings += gpu_findings(found["machine"]["gpu"], state)
    if problem:
        findings.append(Finding("GPU's use", problem, "problem", "see nvidia-smi for who has it (exclusive mode?)"))
    return findings


def findings_table(findings: Sequence[Finding], *, width: int = 80) -> str:
    """For a terminal: problems and notes with what to do beneath them, and their number at the end."""
    size = max(len(finding.topic) for finding in findings)
    lines: list[str] = []
    for finding in findings:
        first = f"{finding.grade:<7}  {finding.topic:<{size}}  "
        lines += wrap(finding.fact, width, first)
        if finding.action:
            lines += wrap(f"-> {finding.action}", width, " " * len(first), " " * (len(first) + 3))
    number = {grade: sum(finding.grade == grade for finding in findings) for grade in ("problem", "note")}
    counts = ", ".join(f"{count} {grade}{'s' * (count != 1)}" for grade, count in number.items())
    return "\n".join([*lines, "", f"{counts}; nothing was changed"])


def findings_json(findings: Sequence[Finding]) -> str:
    """A list of objects with the fields of :class:`resbench.timing.findings.Finding`."""
    return json.dumps([asdict(finding) for finding in findings], indent=1)


def _gpu_problem() -> str:
    """Begin to use the GPU, as a measurement does: the state of one that this process does not use is not read."""
    import torch

    try:
        torch.zeros(1, device="cuda")
    except RuntimeError as error:
        return clean(str(error).partition("\n")[0])
    return ""
