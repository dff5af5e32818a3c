"""A fault is everywhere while it is open and nowhere afterwards."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from resbench.experiments import combinatorics, schedules
from resbench.experiments.combinatorics import path_count as imported_path_count
from resbench.faults.patching import replaced, together, wrapped


def five(*_: object, **__: object) -> int:
    return 5


class Base:
    limit = 1

    def size(self) -> int:
        return 2

    @property
    def scale(self) -> float:
        return 3.0

    @staticmethod
    def free() -> int:
        return 4


class Derived(Base):
    pass


def test_a_method_is_replaced_and_restored() -> None:
    with replaced(Base, "size", five):
        assert Base().size() == Derived().size() == 5
    assert Base().size() == 2


def test_an_inherited_method_is_replaced_in_the_heir_only() -> None:
    with replaced(Derived, "size", five):
        assert (Base().size(), Derived().size()) == (2, 5)
    assert Derived().size() == 2
    assert "size" not in vars(Derived)


def test_a_constant_a_static_method_and_a_property() -> None:
    with (
        replaced(Base, "limit", 9),
        replaced(Base, "free", staticmethod(five)),
        wrapped(Base, "scale", lambda original: lambda self: 2 * original(self)),
    ):
        assert (Base.limit, Base.free(), Base().free(), Base().scale) == (9, 5, 5, 6.0)
    assert (Base.limit, Base.free(), Base().free(), Base().scale) == (1, 4, 4, 3.0)


def test_a_function_is_replaced_wherever_a_module_holds_it() -> None:
    name = "path_count"
    original = combinatorics.path_count
    with replaced(combinatorics, name, lambda n: 5):
        assert combinatorics.path_count(3) == 5
        assert imported_path_count(3) == 5, "this test module imported it by name"
    assert combinatorics.path_count is imported_path_count is original


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    def made(name: str, **values: object) -> ModuleType:
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return made


def test_modules_imported_meanwhile_have_the_fault_and_lose_it(modules: Callable[..., ModuleType]) -> None:
    first = modules("resbench.first", used=lambda: 1)
    original = first.used
    with replaced("resbench.first", "used", lambda: 2):
        late = modules("resbench.late", borrowed=first.used)
        assert late.borrowed() == 2
    assert late.borrowed is first.used is original


def test_a_constant_of_a_module_is_replaced_there_only(modules: Callable[..., ModuleType]) -> None:
    first, second = modules("resbench.first", limit=20), modules("resbench.second", limit=20)
    with replaced("resbench.first", "limit", 21):
        assert (first.limit, second.limit) == (21, 20)
    assert first.limit == 20


def test_a_function_with_a_place_of_its_own_takes_no_other(modules: Callable[..., ModuleType]) -> None:
    """Restoring one would overwrite the other."""
    first = modules("resbench.first", one=lambda: 1, two=lambda: 2)
    with pytest.raises(ValueError, match=r"resbench.first.one"), replaced(first, "one", first.two):
        pass
    assert first.one() == 1


def test_it_is_restored_after_an_exception() -> None:
    original = schedules.survival
    with pytest.raises(RuntimeError, match="stop"), replaced(schedules, "survival", lambda: 5):
        raise RuntimeError("stop")
    assert schedules.survival is original


def test_what_is_not_there_cannot_be_replaced() -> None:
    with pytest.raises(AttributeError, match="has no nosuch"), replaced(schedules, "nosuch", five):
        pass
    with pytest.raises(AttributeError, match="nosuch"), replaced(Base, "nosuch", five):
        pass


def test_several_edits_are_undone_together() -> None:
    with together(replaced(Base, "size", five), replaced(Base, "limit", 7)):
        assert (Base().size(), Base.limit) == (5, 7)
    assert (Base().size(), Base.limit) == (2, 1)
