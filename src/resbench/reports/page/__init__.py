"""The report: one self-contained HTML page of verdicts and figures."""
