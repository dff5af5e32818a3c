"""``resbench doctor``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["doctor"]


class DoctorFormat(StrEnum):
    table = "table"
    json = "json"


def doctor(
    device: Annotated[
        str | None, typer.Option("--device", help="cpu or cuda; both, where there is a GPU, if not given.")
    ] = None,
    format: Annotated[DoctorFormat, typer.Option("--format", help="How to print.")] = DoctorFormat.table,
) -> None:
    """Say whether this machine is fit to measure, and what to do about what is not; nothing is changed.

    Exit code 0 whatever is found.

    Example: resbench doctor --device cuda
    """
    from resbench.checking import terminal_width
    from resbench.timing.doctor import diagnose, findings_json, findings_table

    findings = diagnose(device)
    print(findings_json(findings) if format is DoctorFormat.json else findings_table(findings, width=terminal_width()))
