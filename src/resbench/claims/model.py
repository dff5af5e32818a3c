"""What a claim is: the paper's statement, and per setting what must be measured and how it is judged.

The classes are the schema of the ``*.toml`` files beside this module; unknown or missing fields are errors.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "AtLeast",
    "AtMost",
    "Between",
    "Claim",
    "Comparator",
    "Equals",
    "Expectation",
    "Kind",
    "Monotone",
    "Order",
    "Paper",
    "Rank",
    "Ratio",
    "Source",
    "Within",
]

Kind = Literal["exact", "structural", "trained", "reference"]
Origin = Literal["paper", "derived", "measured", "chosen"]
Provenance = Literal["seen", "derived", "digitised", "memory"]
Text = Annotated[str, Meta(min_length=1)]


class _Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Equals(_Struct, frozen=True, kw_only=True, tag="equals", tag_field="op"):
    """The measured value is exactly ``value``: a number, a fraction as text (``"161/4"``), or a list of them."""

    value: int | float | str | bool | list[int | float | str]


class Within(_Struct, frozen=True, kw_only=True, tag="within", tag_field="op"):
    """``|measured - value| <= abs + rel * |value|``, element by element where ``value`` is a list."""

    value: float | list[float]
    abs: float = 0.0
    rel: float = 0.0


class AtLeast(_Struct, frozen=True, kw_only=True, tag="at_least", tag_field="op"):
    """``measured >= bound`` (every element of a list)."""

    bound: float


class AtMost(_Struct, frozen=True, kw_only=True, tag="at_most", tag_field="op"):
    """``measured <= bound`` (every element of a list)."""

    bound: float


class Between(_Struct, frozen=True, kw_only=True, tag="between", tag_field="op"):
    """``low <= measured <= high`` (every element of a list)."""

    low: float
    high: float


class Monotone(_Struct, frozen=True, kw_only=True, tag="monotone", tag_field="op"):
    """The measured list goes one way; ``slack`` is how far a step may go the other way."""

    direction: Literal["increasing", "decreasing"]
    strict: bool = False
    slack: float = 0.0


class Rank(_Struct, frozen=True, kw_only=True, tag="rank", tag_field="op"):
    """Rank correlation of the measured pairs ``[x, y]``, bounded on one side or both."""

    statistic: Literal["spearman", "kendall"]
    at_least: float | None = None
    at_most: float | None = None


class Ratio(_Struct, frozen=True, kw_only=True, tag="ratio", tag_field="op"):
    """``measured[over] / measured[under]`` of a measured table, bounded on one side or both."""

    over: str
    under: str
    at_least: float | None = None
    at_most: float | None = None


class Order(_Struct, frozen=True, kw_only=True, tag="order", tag_field="op"):
    """The measured table's entries ascend in the order of ``names``, each by at least ``margin``."""

    names: Annotated[list[str], Meta(min_length=2)]
    margin: float = 0.0


Comparator = Equals | Within | AtLeast | AtMost | Between | Monotone | Rank | Ratio | Order
"""What a measured value must be; in the files a table whose ``op`` names the class."""


class Source(_Struct, frozen=True, kw_only=True):
    """Where a statement stands; ``version`` pins the arXiv version whose numbers are meant."""

    arxiv: Text
    version: Text
    title: Text


class Expectation(_Struct, frozen=True, kw_only=True):
    """What one setting must show.

    ``quantity`` names a function ``module.function`` of :mod:`resbench.experiments`, called with ``params``.
    A claim's expectations in one setting are judged together: its verdict there is the worst of them.
    """

    setting: Text
    kind: Kind
    quantity: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")]
    compare: Comparator
    unit: Text
    origin: Origin
    why: Text
    direction: Literal["higher", "lower", "none"] = "none"
    params: dict[str, object] = {}
    paper_value: str = ""


class Claim(_Struct, frozen=True, kw_only=True):
    """One statement of a paper.

    ``provenance``: how we know that the paper says so; ``memory`` is unverified and never fails a run.
    ``expect`` is empty where nothing can be asserted; ``not_asserted`` then says why.
    ``descriptive``: why no fault of an implementation can break the claim (`resbench faults` then asks none of it).
    """

    id: Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[A-Za-z0-9]+)+$")]
    version: Annotated[int, Meta(ge=1)]
    locus: Text
    statement: Text
    provenance: Provenance
    changelog: Annotated[list[str], Meta(min_length=1)]
    expect: list[Expectation] = []
    not_asserted: str = ""
    known_conflicts: list[str] = []
    breaks: str = ""
    descriptive: str = ""
    paper: str = ""
    source: Source | None = None

    @property
    def verified(self) -> bool:
        return self.provenance != "memory"

    @property
    def kind(self) -> str:
        """The kind of the first expectation; ``text`` where the statement asserts nothing measurable."""
        return self.expect[0].kind if self.expect else "text"

    @property
    def settings(self) -> list[str]:
        return list(dict.fromkeys(expectation.setting for expectation in self.expect))


class Paper(_Struct, frozen=True, kw_only=True):
    """One claim file."""

    schema: Literal[1]
    paper: Text
    source: Source
    claim: list[Claim]
