"""What `pytest -m claims` runs in this repository: the packaged suite."""

from resbench.suite.test_claims import test_claim

__all__ = ["test_claim"]
