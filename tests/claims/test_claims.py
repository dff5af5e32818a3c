"""What `pytest -m claims` runs in this repository: the packaged suite."""

from resbench.suite.test_claims import pytestmark, test_claim

__all__ = ["pytestmark", "test_claim"]
