"""Nested arguments and results: which tensors and recorded values are in them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from small_models import images
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from resbench.adapters.values import Ref, map_tensors, refs_in, tensors_in


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclass
class Record:
    """Neither a tuple nor a dictionary."""

    held: Any


A, B, C = (torch.full((1,), float(number)) for number in range(3))


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (A, [A]),
        ((A, [B, (C,)], 1, None), [A, B, C]),
        ({"b": B, "a": [A]}, [B, A]),
        (OrderedDict(b=B, a={"c": C}), [B, C]),
        (Pair(B, Pair(A, "text")), [B, A]),
        (torch.return_types.max((A, B)), [A, B]),
        (Record(A), []),
        ((Record(A), slice(A, None)), []),
    ],
)
def test_tensors_in_nested_containers(tree: Any, expected: list[Tensor]) -> None:
    found = list(tensors_in(tree))
    assert [id(tensor) for tensor in found] == [id(tensor) for tensor in expected]


def test_mapping_keeps_the_containers_it_knows_and_leaves_others_alone() -> None:
    odd, record = OrderedDict(a=1), Record(1)
    replaced = map_tensors((1, [2, Pair(3, {"a": 4})], slice(5, None), odd, record), lambda leaf: (leaf,))
    assert replaced == ((1,), [(2,), Pair((3,), {"a": (4,)})], slice((5,), (None,), (None,)), (odd,), (record,))
    assert type(replaced[1][1]) is Pair


def test_refs_in_nested_arguments() -> None:
    tree = (Ref(3), [Pair(Ref(1), 2)], {"index": (slice(None, Ref(4)), Ref(1))}, Record(Ref(9)))
    assert list(refs_in(tree)) == [3, 1, 4, 1]


class Compared(TorchDispatchMode):
    """Holds what ``tensors_in`` finds in the dispatcher's arguments and results against torch's own flattening."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shapes: set[tuple[str, str]] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tree in ((args, kwargs or {}), result):
            found = [id(tensor) for tensor in tensors_in(tree)]
            assert found == [id(leaf) for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
        self.shapes.add((type(args[0]).__name__, type(result).__name__))
        return result


def test_nothing_that_the_dispatcher_is_given_is_missed() -> None:
    x = images()
    with torch.no_grad(), Compared() as compared:
        torch.cat([x, x]).split(1)
        x.max(0)
        x[:, torch.tensor([0, 1])]
        torch.zeros_like(x, memory_format=torch.preserve_format)
        torch._foreach_add_([x, x.clone()], 1)
        torch.native_batch_norm(x, torch.ones(3), torch.ones(3), None, None, True, 0.1, 1e-5)
    assert {("list", "Tensor"), ("Tensor", "list"), ("Tensor", "tuple"), ("list", "NoneType")} <= compared.shapes
