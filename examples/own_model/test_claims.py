"""The claims that resbench can judge on the network of pyproject.toml, one test each."""

from resbench.suite.test_claims import test_claim

__all__ = ["test_claim"]
