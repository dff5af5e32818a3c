"""Claims and verdicts to report on: some as they will be, some as nobody would wish them."""

from __future__ import annotations

import dataclasses
import random
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from resbench.claims.model import (
    AtLeast,
    AtMost,
    Claim,
    Comparator,
    Equals,
    Expectation,
    Monotone,
    Order,
    Rank,
    Source,
    Within,
)
from resbench.errors import NotMeasured
from resbench.judge import Check, Judgement, Status, Verdict, judge_claim
from resbench.records.measurement import Measurement

VEIT = Source(arxiv="1605.06431", version="v2", title="Residual Networks Behave Like Ensembles")
HE = Source(arxiv="1603.05027", version="v3", title="Identity Mappings in Deep Residual Networks")
NOTHING = NotMeasured("nothing has been measured in the setting 'cifar10' yet")


def expectation(compare: Comparator, setting: str, kind: Any, unit: str = "1", **fields: Any) -> Expectation:
    return Expectation(
        setting=setting,
        kind=kind,
        quantity="module.function",
        compare=compare,
        unit=unit,
        origin="chosen",
        why="three run-to-run deviations",
        **fields,
    )


def claim(id: str, *expectations: Expectation, paper: str = "veit2016", **fields: Any) -> Claim:
    defaults: dict[str, Any] = {
        "version": 1,
        "locus": "section 4.1, figure 3",
        "statement": f"What {id} says about a residual network.",
        "provenance": "seen",
        "changelog": ["1: first encoded"],
        "not_asserted": "" if expectations else "an interpretation",
        "source": VEIT if paper == "veit2016" else HE,
    }
    return Claim(id=id, expect=list(expectations), paper=paper, **(defaults | fields))


def sampled(value: Any, spread: float) -> Measurement:
    """A measurement with 200 replicates of normal noise."""
    noise = random.Random(0)
    if isinstance(value, dict):
        replicates: list[Any] = [{k: v + noise.gauss(0, spread) for k, v in value.items()} for _ in range(200)]
    else:
        replicates = [[entry + noise.gauss(0, spread) for entry in value] for _ in range(200)]
    return Measurement(value, replicates=replicates, method="bootstrap over images", n=797)


def board() -> tuple[list[Claim], list[Verdict]]:
    """Nine claims of two papers and eleven verdicts of every status but WAIVED and STALE."""
    vgg = claim(
        "veit-single-delete-vgg",
        expectation(AtLeast(bound=75), "digits", "trained", "%", params={"network": "vgg15"}),
        expectation(AtLeast(bound=85), "cifar10", "trained", "%"),
        breaks="a shortcut hidden in the plain network.",
    )
    lesion = claim(
        "veit-sd-lesion", expectation(Order(names=["stochastic", "constant"]), "digits", "trained", "points")
    )
    paths = claim("veit-paths-2n", expectation(Equals(value=2**54), "any", "exact", "paths"))
    depth = claim("veit-depth", expectation(AtMost(bound=1.0), "digits", "trained", "points"))
    fading = claim("veit-fading", expectation(Monotone(direction="decreasing"), "published", "reference", "%"))
    crash = claim("he-crash", expectation(AtMost(bound=1e-12), "any", "structural"), paper="he2016")
    exact = claim("he-exact", expectation(Equals(value="161/4"), "any", "exact", "units"), paper="he2016")
    original = claim("he-original", expectation(Within(value=6.61, abs=0.5), "cifar10", "trained", "%"), paper="he2016")
    text = claim("he-text", paper="he2016")
    outcomes: list[tuple[Claim, str, Measurement | Exception]] = [
        (vgg, "digits", sampled([91.0, 62.1, 90.0], 0.5)),
        (vgg, "cifar10", NOTHING),
        (lesion, "digits", sampled({"stochastic": 0.41, "constant": 2.2}, 0.1)),
        (paths, "any", Measurement(2**54)),
        (depth, "digits", Measurement(0.9, (0.7, 1.1), method="Wilson", n=797)),
        (fading, "published", Measurement([22.8, 7.85, 3.67, 1.71, 0.41])),
        (crash, "any", RuntimeError("shapes (2x64) & (32x10) <cannot> | be multiplied")),
        (exact, "any", Measurement(Fraction(161, 4))),
        (original, "cifar10", NOTHING),
    ]
    verdicts = [judge_claim(each, setting, [outcome]) for each, setting, outcome in outcomes]
    return [vgg, lesion, paths, depth, fading, crash, exact, original, text], verdicts


def one(status: Status = Status.HOLDS, **fields: Any) -> Verdict:
    """A verdict made by hand."""
    defaults: dict[str, Any] = {
        "id": "veit-one",
        "version": 2,
        "kind": "trained",
        "setting": "digits",
        "measured": 17.3,
        "expected": ">= 16",
        "interval": (16.9, 17.8),
        "unit": "%",
        "source": "arXiv:1605.06431v2, section 4.1, figure 3",
        "message": "measured 17.3 [16.9, 17.8], expected >= 16",
        "statement": "One thing.",
        "breaks": "",
        "checks": (),
    }
    return Verdict(status=status, **(defaults | fields))


def check(status: Status, measured: Any, quantity: str = "lesions.one") -> Check:
    judgement = Judgement(status, measured, ">= 16", None, f"measured {measured}, expected >= 16")
    return Check(judgement, quantity, {"network": "vgg15"}, "%", "Wilson", 797)


_texts = st.text(max_size=60)
_floats = st.floats(allow_nan=True, allow_infinity=True)
_scalars = st.none() | st.booleans() | st.integers() | _floats | _texts | st.fractions()
_values = _scalars | st.lists(_scalars | st.lists(_scalars, max_size=2), max_size=8)
_values |= st.dictionaries(_texts, _scalars, max_size=4)


@st.composite
def wild_verdicts(draw: st.DrawFn) -> Verdict:
    """Any text, any value, any status."""
    texts = {key: draw(_texts) for key in ("id", "kind", "setting", "expected", "unit", "source", "message", "breaks")}
    checks = tuple(
        dataclasses.replace(check(draw(st.sampled_from(Status)), draw(_values)), detail=draw(_texts))
        for _ in range(draw(st.integers(0, 2)))
    )
    interval = draw(st.none() | st.tuples(_floats, _floats))
    status = draw(st.sampled_from(Status))
    return one(status, **texts, measured=draw(_values), interval=interval, statement=draw(_texts), checks=checks)


RANKS = (Rank(statistic="spearman", at_least=0.95), Rank(statistic="kendall", at_least=-1, at_most=0.5))
