"""What a row says of real networks, and of networks that cannot be run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torchvision
from torch import Tensor, nn

import resbench.survey.row as row_module
from resbench.adapters import ResidualUnit, adapt
from resbench.survey.dispatched import count_additions
from resbench.survey.drops import declared_survival
from resbench.survey.handles import check_handles
from resbench.survey.row import survey_row
from resbench.survey.selection import Family, families
from resbench.survey.verdicts import claim_ids


class Scaled(nn.Module):
    """Three units; the second's shortcut is scaled, which ``adapt`` must not hide."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.convs[0](x).relu()
        x = 0.5 * x + self.convs[1](x).relu()
        return torch.flatten(x + self.convs[2](x).relu(), 1)


class InPlace(nn.Module):
    """Adds the shortcut in place to a part of a tensor; then numbers that are of another shape, or constant."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)[:, :3]
        y += x
        y = y + y.mean((2, 3), keepdim=True)
        return y + torch.ones(y.shape)


def test_a_residual_network() -> None:
    row = survey_row(Family("torchvision", "resnet18", ("resnet34", "resnet18")))
    wanted = {"network": "resnet18", "parameters": "11.7", "input": "3x64x64", "adapted": "yes", "handles": "ok"}
    wanted |= {"units": "8", "deletable": "8", "identity": "5", "projection": "3", "after relu": "8", "drops": "0"}
    wanted |= {"additions": "8", "residual additions": "5", "exchangeable": "2", "changing shape": "3"}
    assert {column: row[column] for column in wanted} == wanted
    assert row["unit-identity-shortcut"] == row["unit-gradient-passes"] == "HOLDS"
    assert set(claim_ids()) <= set(row)
    assert row["violations"] == ""


def test_a_network_without_residual_additions() -> None:
    row = survey_row(Family("torchvision", "shufflenet_v2_x0_5", ("shufflenet_v2_x0_5",)))
    assert (row["adapted"], row["residual additions"]) == ("no", "0")
    assert "no residual addition found" in row["why not"]
    assert not set(claim_ids()) & set(row)


def test_a_network_that_is_too_large_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_module, "LARGEST", 1e6)
    row = survey_row(Family("torchvision", "resnet18", ("resnet18",)))
    assert (row["adapted"], row["why not"]) == ("not run", "12 M parameters")


def test_whatever_a_network_raises_is_said_in_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: nn.Module, name: str) -> Tensor:
        raise ZeroDivisionError("in the\nforward pass")

    monkeypatch.setattr(row_module, "example_for", broken)
    row = survey_row(Family("torchvision", "resnet18", ("resnet18",)))
    assert (row["adapted"], row["why not"]) == ("not run", "ZeroDivisionError: in the forward pass")
    row = survey_row(Family("torchvision", "resnet18", ("no_such_network",)))
    assert row["adapted"] == "not run"
    assert "no_such_network" in row["why not"]


@pytest.mark.parametrize(
    ("name", "every", "residual"),
    [
        ("resnet18", 8, 5),
        ("mobilenet_v2", 10, 10),
        ("densenet121", 0, 0),
        ("googlenet", 0, 0),
        ("convnext_tiny", 18, 18),
    ],
)
def test_the_dispatcher_sees_the_additions(name: str, every: int, residual: int) -> None:
    options = {"init_weights": False} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, weights=None, **options).eval()
    found = count_additions(model, torch.randn(2, 3, 64, 64))
    assert (found.all, found.residual) == (every, residual)


def test_the_dispatcher_sees_additions_in_place_and_no_others() -> None:
    found = count_additions(InPlace(), torch.randn(2, 3, 8, 8))
    assert (found.all, found.residual) == (1, 1)


@pytest.fixture
def scaled() -> tuple[nn.Module, list[ResidualUnit], Tensor]:
    torch.manual_seed(0)
    model, example = Scaled().eval(), torch.randn(2, 3, 8, 8)
    return model, adapt(model, example), example


def test_handles_that_keep_their_promises(scaled: tuple[nn.Module, list[ResidualUnit], Tensor]) -> None:
    model, units, example = scaled
    assert [unit.shortcut_kind for unit in units] == ["identity", "altered", "identity"]
    assert check_handles(model, units, example) == ""


@pytest.mark.parametrize(
    ("piece", "message"),
    [("shortcut", "not after(shortcut + branch)"), ("run", "not after(shortcut + branch)")],
)
def test_a_handle_that_breaks_its_promise_is_named(
    scaled: tuple[nn.Module, list[ResidualUnit], Tensor], piece: str, message: str
) -> None:
    model, units, example = scaled
    units[1].pieces[piece] = units[0].pieces[piece]
    assert check_handles(model, units, example) == f"{units[1].name}: {message}"


def test_a_model_that_does_not_compute_the_same_again_is_named(
    scaled: tuple[nn.Module, list[ResidualUnit], Tensor],
) -> None:
    model, units, example = scaled
    calls: list[int] = []

    def drift(*given: Sequence[object]) -> Tensor:
        calls.append(1)
        return given[-1] + float(len(calls))  # type: ignore[operator, no-any-return]

    model.register_forward_hook(drift)
    assert check_handles(model, units, example) == "the network is not restored"


def test_survival_is_what_the_modules_declare() -> None:
    torch.manual_seed(0)
    model = torchvision.models.efficientnet_b0(weights=None).eval()
    example = torch.randn(2, 3, 64, 64)
    units = adapt(model, example)
    found = declared_survival(model, units, example)
    assert found is not None
    # Block l of the 16 is dropped with 0.2 l / 16 (torchvision counts l from 0); 9 of them have a shortcut.
    blocks = (2, 4, 6, 7, 9, 10, 12, 13, 14)
    assert found == pytest.approx([1 - 0.2 * block / 16 for block in blocks])
    plain = torchvision.models.resnet18(weights=None).eval()
    assert declared_survival(plain, adapt(plain, example), example) is None


def test_families_are_a_rule() -> None:
    torchvision_families = families("torchvision")
    assert [family.name for family in torchvision_families] == sorted(f.networks[0] for f in torchvision_families)
    assert Family("torchvision", "resnet18", ("resnet18",)) in torchvision_families
    timm = pytest.importorskip("timm")
    found = {family.name: family for family in families("timm")}
    assert "seresnext50_32x4d" in found["resnet/seresnext"].networks
    # Every network is in exactly one family, but for timm's own test networks.
    networks = sorted(network for family in found.values() for network in family.networks)
    assert networks == sorted(name for name in timm.list_models() if not name.startswith("test_"))
