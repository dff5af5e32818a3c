"""Recipes: what the files say against the papers and the claims, and files that contradict themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from resbench.claims.loader import load_claims
from resbench.errors import UserError
from resbench.networks import zoo
from resbench.networks.residual import NetworkSpec, PlainSpec, build, parameter_count
from resbench.networks.units import UnitSpec
from resbench.training import recipes
from resbench.training.recipes import Recipe, load_recipes

CIFAR = load_recipes("cifar10")
SMALL = NetworkSpec(units=(1, 1), widths=(4, 8))


def named_by_claims(setting: str) -> set[str]:
    """The networks that an expectation of a trained network names: every text but the name of a statistic."""
    found: set[str] = set()
    for expectation in (each for claim in load_claims() for each in claim.expect):
        if (expectation.kind, expectation.setting) == ("trained", setting):
            for key, value in expectation.params.items():
                values = value if isinstance(value, list) else [value]
                found |= {each for each in values if isinstance(each, str) and key != "statistic"}
    return found


def spec_of(name: str) -> NetworkSpec:
    spec = CIFAR[name].network
    assert isinstance(spec, NetworkSpec)
    return spec


def test_the_fingerprints_of_recorded_networks_stay() -> None:
    """Those in the committed checkpoints; a later field must not change them."""
    digits = load_recipes("digits")
    assert digits["preact-54"].fingerprint == "35469d6e38854d15"
    assert digits["post-9-stochastic"].fingerprint == "a5a4ce1c4b88a454"
    assert len({recipe.fingerprint for recipe in digits.values()}) == len(digits) == 27


def test_a_fingerprint_covers_later_fields_but_not_departures() -> None:
    recipe = Recipe(residual=SMALL, epochs=10)
    replace = msgspec.structs.replace
    dropout = replace(SMALL, unit=UnitSpec(dropout=0.3))
    changed = [
        replace(recipe, flip=True),
        replace(recipe, validation=100),
        replace(recipe, validation=100, tested="best-validation"),
        replace(recipe, schedule="drops", drops=(5,)),
        replace(recipe, schedule="drops", drops=(5,), warmup=7),
        replace(recipe, schedule="drops", drops=(5,), warmup=7, warmup_lr=0.02),
        replace(recipe, residual=dropout),
        Recipe(residual=SMALL, iterations=10),
    ]
    assert len({r.fingerprint for r in (recipe, *changed)}) == 1 + len(changed)
    assert replace(recipe, departures=("shorter",)).fingerprint == recipe.fingerprint


def test_every_network_of_the_claims_has_a_recipe() -> None:
    wanted = named_by_claims("cifar10")
    assert len(wanted) > 60
    assert wanted <= set(CIFAR)


def test_short_recipes_are_the_same_networks_and_say_what_differs() -> None:
    short = load_recipes("cifar10-short")
    assert list(short) == list(CIFAR)
    for name, recipe in short.items():
        full = CIFAR[name]
        assert recipe.departures
        assert not full.departures
        assert (recipe.epochs, recipe.iterations, recipe.schedule) == (8, None, "one-cycle")
        changed = {f for f in recipe.__struct_fields__ if getattr(recipe, f) != getattr(full, f)}
        assert changed <= {"epochs", "iterations", "schedule", "drops", "warmup", "departures"}, name


def test_one_training_apart_from_two_names_of_one_network() -> None:
    """Table 1's network without shortcuts is He 2015's plain network of that depth."""
    by_print: dict[str, list[str]] = {}
    for name, recipe in CIFAR.items():
        by_print.setdefault(recipe.fingerprint, []).append(name)
    assert [names for names in by_print.values() if len(names) > 1] == [["plain110", "resnet110-scale-0-1"]]


def test_he_trains_64000_iterations() -> None:
    recipe = CIFAR["resnet110"]
    assert (recipe.iterations, recipe.drops, recipe.warmup, recipe.warmup_lr) == (64_000, (32_000, 48_000), 400, 0.01)
    assert (recipe.lr, recipe.momentum, recipe.nesterov, recipe.weight_decay) == (0.1, 0.9, False, 1e-4)
    assert (recipe.batch, recipe.shift, recipe.flip, recipe.validation, recipe.tested) == (128, 4, True, 0, "last")
    assert [CIFAR[f"resnet{depth}"].warmup for depth in (20, 32, 44, 56, 110, 164, 1001, 1202)] == [0] * 4 + [400] * 4
    assert [CIFAR[f"plain{depth}"].warmup for depth in (20, 56, 110)] == [0, 0, 400]


def test_veit_trains_164_epochs() -> None:
    for name in ("resnet20-preact", "resnet110-preact", "resnet110-preact-23of54", "vgg15"):
        recipe = CIFAR[name]
        assert (recipe.epochs, recipe.iterations, recipe.drops, recipe.warmup) == (164, None, (81, 122), 0)
        assert (recipe.lr, recipe.momentum, recipe.nesterov, recipe.weight_decay) == (0.1, 0.9, True, 1e-4)
        assert (recipe.batch, recipe.shift, recipe.flip, recipe.validation, recipe.tested) == (128, 4, True, 0, "last")
    effective = CIFAR["resnet110-preact-23of54"]
    assert (effective.sampling, effective.sampling_value, effective.reestimate) == ("exactly", 23, True)
    assert effective.residual == CIFAR["resnet110-preact"].residual
    assert CIFAR["vgg15"].network == PlainSpec(layers=15, width=128)


def test_huang_trains_500_epochs_and_chooses_by_validation() -> None:
    names = [name for name in CIFAR if "-constant" in name or "-stochastic" in name]
    assert len(names) == 6 + 1 + 6 + 5 + 8 + 8 + 2 + 2
    for name in names:
        recipe, wide = CIFAR[name], "1202" in name
        assert (recipe.epochs, recipe.drops) == ((300, (150, 225)) if wide else (500, (250, 375))), name
        # Ten epochs of 45,000 images in mini-batches of 128.
        assert recipe.warmup == (10 * (45_000 // 128) if wide else 0)
        assert (recipe.validation, recipe.tested, recipe.nesterov) == (5_000, "best-validation", True)
        assert (recipe.batch, recipe.weight_decay, recipe.reestimate) == (128, 1e-4, False)
        assert (recipe.shift, recipe.flip) == ((0, False) if "without-augmentation" in name else (4, True))
        assert recipe.test_scaling == (recipe.sampling != "all") == ("-stochastic" in name)
        unit = spec_of(name).unit
        assert (unit.order, unit.body, unit.down) == ("original", "basic", "pool")
        assert unit.dropout == (0.3 if "dropout" in name else 0.0)


def test_survival_probabilities_are_those_of_the_names() -> None:
    for name, recipe in CIFAR.items():
        if "-stochastic-linear-" in name or "-stochastic-uniform-" in name:
            rule, value = name.split("-stochastic-")[1].split("-")
            assert (recipe.sampling, recipe.sampling_value) == (rule, float(value))
        elif "-stochastic" in name:
            assert (recipe.sampling, recipe.sampling_value) == ("linear", 0.5)


def test_networks_are_the_zoos_of_the_same_name() -> None:
    shared = set(CIFAR) & set(zoo.names())
    assert len(shared) > 30
    for name in shared:
        assert CIFAR[name].network == zoo.describe(name).spec, name


@pytest.mark.parametrize("bias", range(8))
def test_gates_start_at_the_bias_of_their_name(bias: int) -> None:
    unit = spec_of(f"resnet110-exclusive-gate-b{bias}").unit
    assert (unit.order, unit.shortcut, unit.gate_bias) == ("original", "exclusive-gate", -bias)


def test_depths_are_those_of_the_names() -> None:
    layers = {"basic": 2, "bottleneck": 3, "single": 1}
    for name in CIFAR:
        if name != "vgg15":
            spec = spec_of(name)
            depth = int("".join(c for c in name.split("-")[0] if c.isdigit()))
            assert len(set(spec.units)) == 1, name
            assert spec.n_units * layers[spec.unit.body] + 2 == depth, name
            assert spec.widths == (16, 32, 64), name


@pytest.mark.parametrize(
    ("name", "printed", "exact"),
    [
        ("resnet20", 0.27e6, 269_722),
        ("resnet32", 0.46e6, 464_154),
        ("resnet44", 0.66e6, 658_586),
        ("resnet56", 0.85e6, 853_018),
        ("resnet110", 1.7e6, 1_727_962),
        ("resnet110-1layer", 1.7e6, 1_727_962),
        ("resnet164-preact", 1.7e6, 1_703_258),
        ("resnet1001-preact", 10.2e6, 10_327_706),
        ("resnet1202", 19.4e6, 19_421_274),
    ],
)
def test_parameters_are_the_papers(name: str, printed: float, exact: int) -> None:
    """He 2015, table 6, and He 2016, table 4; the exact counts include batch normalisation."""
    count = parameter_count(build(CIFAR[name].network, device="meta"))
    assert count == exact
    assert count == pytest.approx(printed, rel=0.02)


DROPS: dict[str, Any] = {"residual": SMALL, "schedule": "drops"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"residual": SMALL, "plain": PlainSpec()}, "exactly one of `residual` and `plain`"),
        ({"residual": SMALL, "iterations": 100, "epochs": 10}, "`iterations` or `epochs`, not both"),
        ({"residual": SMALL, "tested": "best-validation"}, "needs `validation` images"),
        ({"residual": SMALL, "drops": (5,)}, "go together"),
        (DROPS, "go together"),
        ({"residual": SMALL, "warmup": 10}, '`warmup` needs `schedule = "drops"`, not "one-cycle"'),
        ({**DROPS, "drops": (20, 10)}, r"drops \[20, 10\] do not increase"),
        ({**DROPS, "drops": (20, 20)}, r"drops \[20, 20\] do not increase"),
        ({**DROPS, "drops": (0, 20)}, r"drops \[0, 20\] do not increase from above 0"),
        ({**DROPS, "drops": (11,), "epochs": 10}, "the drop at 11 is beyond the end: 10 epochs"),
        ({**DROPS, "drops": (100,), "iterations": 100}, "the drop at 100 is beyond the end: 100 iterations"),
        ({**DROPS, "drops": (50,), "iterations": 100, "warmup": 51}, r"longer than the first drop waits \(50\)"),
        ({"plain": PlainSpec(), "sampling": "linear", "sampling_value": 0.5}, "a plain network has none"),
        ({"residual": SMALL, "sampling": "exactly", "sampling_value": 3}, "exactly 3 of 2 units"),
        ({"residual": SMALL, "sampling": "exactly", "sampling_value": 1.5}, "exactly 1.5 of 2 units"),
        ({"residual": SMALL, "sampling": "uniform", "sampling_value": 0.0}, r"lies in \(0, 1\], not 0"),
    ],
)
def test_contradictions(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**fields)


def test_the_last_epoch_and_the_last_iteration_can_be_a_drop() -> None:
    assert Recipe(**DROPS, drops=(10,), epochs=10).drops == (10,)
    assert Recipe(**DROPS, drops=(99,), iterations=100).drops == (99,)


BOOK = b"""
schema = 2
setting = "made"
defaults = { epochs = 9, residual = { units = [1, 1], widths = [4, 8], unit.order = "original" } }
[short]
departures = ["shorter"]
changes = { iterations = 5 }
[network]
first = {}
[[family]]
source = "table 1"
defaults = { lr = 0.2, residual.unit.down = "stride" }
network.second = { residual.unit.order = "preact" }
network.third = { lr = 0.3, plain = { layers = 3 } }
"""


def test_tables_go_over_each_other() -> None:
    found = recipes._recipes({"a.toml": BOOK}, "made")
    residual = NetworkSpec(units=(1, 1), widths=(4, 8), unit=UnitSpec(order="original"))
    down = msgspec.structs.replace(residual, unit=UnitSpec(order="preact", down="stride"))
    assert found == {
        "first": Recipe(epochs=9, residual=residual),
        "second": Recipe(epochs=9, lr=0.2, residual=down),
        "third": Recipe(epochs=9, lr=0.3, plain=PlainSpec(layers=3)),
    }
    short = recipes._recipes({"a.toml": BOOK}, "made-short")
    assert short["second"] == Recipe(iterations=5, lr=0.2, residual=down, departures=("shorter",))


def test_files_of_one_setting_are_one_book() -> None:
    other = b'schema = 2\nsetting = "made"\nnetwork.fourth = { residual = {} }'
    assert list(recipes._recipes({"a.toml": BOOK, "b.toml": other}, "made"))[-1] == "fourth"
    assert "fourth" not in recipes._recipes({"a.toml": BOOK, "b.toml": other}, "made-short")
    with pytest.raises(UserError, match=r"b\.toml: network first has a recipe already"):
        recipes._recipes({"a.toml": BOOK, "b.toml": other.replace(b"fourth", b"first")}, "made")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"schema = 2", b"schema = 1", r"a\.toml: Invalid enum value 1"),
        (b'setting = "made"', b"", r"a\.toml: .*missing required field `setting`"),
        (b'source = "table 1"', b"", r"a\.toml: .*missing required field `source`"),
        (b"lr = 0.3", b"rate = 0.3", r"a\.toml: network third: .*unknown field `rate`"),
        (b"lr = 0.3", b'lr = "high"', r"a\.toml: network third: Expected `float`, got `str` - at `\$\.lr`"),
        (b"lr = 0.3", b'tested = "best-validation"', r"a\.toml: network third: .*needs `validation` images"),
    ],
)
def test_damaged_files(old: bytes, new: bytes, message: str) -> None:
    assert old in BOOK
    with pytest.raises(UserError, match=message):
        recipes._recipes({"a.toml": BOOK.replace(old, new)}, "made")


def test_an_unknown_setting_has_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no setting 'mnist': known are cifar10, cifar10-short, digits$"):
        load_recipes("mnist")


def test_every_file_says_its_source() -> None:
    folder = Path(recipes.__file__).parent / "books"
    files = sorted(path.name for path in folder.glob("*.toml"))
    assert files == ["digits.toml", "he2016.toml", "huang2016.toml", "veit2016.toml"]
    for path in folder.glob("*.toml"):
        assert all(family.source for family in recipes._read(path.name, path.read_bytes()).family)
