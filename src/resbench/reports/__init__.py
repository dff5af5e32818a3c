"""Verdicts and claims for people and for other programs.  Every function is pure: values in, text out."""

from __future__ import annotations

from resbench.reports.board import table, verdict_line
from resbench.reports.catalogue import claim_details, claims_table
from resbench.reports.github import markdown
from resbench.reports.verdicts import explain, to_json
from resbench.reports.xunit import junit

__all__ = ["claim_details", "claims_table", "explain", "junit", "markdown", "table", "to_json", "verdict_line"]
