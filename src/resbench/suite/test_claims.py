"""One test for every claim and setting; :mod:`resbench.plugin` makes the items and shows the board.

A project that configures a target has the claims in its own suite by importing the test::

    from resbench.suite.test_claims import test_claim
"""

from __future__ import annotations

import pytest

from resbench.judge import Status, Verdict


@pytest.mark.claims
def test_claim(claim_verdict: Verdict, claims_strict: bool) -> None:
    """Passes where the claim HOLDS, is skipped where not measured, xfails where waived, else fails and explains.

    ``claims_strict``: where not measured, it fails as well.
    """
    from resbench.reports import explain

    if claim_verdict.status is Status.NOT_MEASURED and not claims_strict:
        pytest.skip(f"NOT_MEASURED: {claim_verdict.message}")
    if claim_verdict.status is Status.WAIVED:
        pytest.xfail(f"WAIVED: {claim_verdict.message}")
    if claim_verdict.status is not Status.HOLDS:
        pytest.fail(explain(claim_verdict), pytrace=False)
