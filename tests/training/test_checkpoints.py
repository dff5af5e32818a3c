"""Checkpoints: round trips, and every kind of damage gives one clear line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import safetensors.torch
import torch

from resbench.data.digits import Dataset
from resbench.errors import Damaged, NotMeasured, Stale, UserError
from resbench.networks.residual import NetworkSpec
from resbench.training.checkpoints import load, read_index, read_seed, save, write_index
from resbench.training.loop import Copy, TrainedCopy, train
from resbench.training.recipes import Recipe

RECIPE = Recipe(
    residual=NetworkSpec(units=(1, 1), widths=(4, 8), inputs=1),
    epochs=1,
    sampling="linear",
    sampling_value=0.5,
    test_scaling=True,
)


@pytest.fixture(scope="module")
def trained() -> list[TrainedCopy]:
    from resbench.data.digits import digits

    torch.set_num_threads(1)
    return train(RECIPE, digits(), [Copy(5, 0), Copy(5, 1)])


@pytest.fixture
def path(tmp_path: Path, trained: list[TrainedCopy], data: Dataset) -> Path:
    save(tmp_path / "net.safetensors", "net", "digits", RECIPE, data, trained)
    return tmp_path / "net.safetensors"


def test_round_trip(path: Path, trained: list[TrainedCopy], data: Dataset) -> None:
    target = load(path, "net", RECIPE, data)
    assert (target.name, target.seed, len(target.members)) == ("net", 5, 2)
    assert read_seed(path) == 5
    for member, copy in zip(target.members, trained, strict=True):
        for key, value in member.network.state_dict().items():
            if not key.endswith("num_batches_tracked"):
                torch.testing.assert_close(value, copy.state[key], rtol=1e-3, atol=1e-4, msg=key)
        assert member.curves.loss == pytest.approx(copy.curves.loss, rel=1e-3)
        assert not member.network.training
        assert [u.test_scale for u in member.network.residual_units()] == [0.75, 0.5]  # type: ignore[union-attr]
        assert torch.equal(member.test.labels, data.test(member.half)[1])


def test_weights_beyond_half_precision_survive(tmp_path: Path, trained: list[TrainedCopy], data: Dataset) -> None:
    """A diverged network is a result; its weights must not become infinite on the way to the disk."""
    state = {**trained[0].state, "stem.0.weight": trained[0].state["stem.0.weight"] * 1e8}
    diverged = [dataclasses.replace(trained[0], state=state), trained[1]]
    save(tmp_path / "net.safetensors", "net", "digits", RECIPE, data, diverged)
    loaded = load(tmp_path / "net.safetensors", "net", RECIPE, data).members[0].network.state_dict()
    assert torch.equal(loaded["stem.0.weight"], state["stem.0.weight"])


def test_index(path: Path, data: Dataset) -> None:
    with pytest.raises(NotMeasured, match="no trained networks"):
        read_index(path.parent)
    write_index(path.parent, ["net"])
    entry = read_index(path.parent)["net"]
    assert entry["bytes"] == path.stat().st_size
    load(path, "net", RECIPE, data, sha256=entry["sha256"])


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 2, "files": {}}', '{"schema": 1}', "[1]"])
def test_damaged_index(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(UserError, match="not a checkpoint index"):
        read_index(tmp_path)


def test_missing(tmp_path: Path, data: Dataset) -> None:
    with pytest.raises(UserError, match=r"No such file.*resbench train --network net"):
        load(tmp_path / "net.safetensors", "net", RECIPE, data)


@pytest.mark.parametrize("keep", [0, 7, 100, 2000])
def test_truncated(path: Path, data: Dataset, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="truncated, changed or not safetensors"):
        load(path, "net", RECIPE, data)


def test_a_byte_that_was_changed_is_seen_without_an_index(path: Path, data: Dataset) -> None:
    content = path.read_bytes()
    for place in (len(content) - 1, len(content) // 2, content.index(b'"seed":"') + 8, content.index(b'"curves"') + 30):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(bytes(changed))
        with pytest.raises(Damaged, match=r"changed or not safetensors|does not fit"):
            load(path, "net", RECIPE, data)


def test_an_index_names_no_file_elsewhere(path: Path) -> None:
    write_index(path.parent, ["net"])
    index = path.parent / "index.json"
    index.write_text(index.read_text().replace('"net.safetensors"', '"../net.safetensors"'))
    with pytest.raises(Damaged, match="not a checkpoint index"):
        read_index(path.parent)


def test_wrong_hash(path: Path, data: Dataset) -> None:
    content = bytearray(path.read_bytes())
    write_index(path.parent, ["net"])
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"hash is not the one in index\.json"):
        load(path, "net", RECIPE, data, sha256=read_index(path.parent)["net"]["sha256"])


def test_another_network_recipe_or_data(path: Path, data: Dataset) -> None:
    with pytest.raises(UserError, match="network is 'net', not 'other'"):
        load(path, "other", RECIPE, data)
    changed = Recipe(residual=NetworkSpec(units=(1, 1), widths=(4, 8), inputs=1), epochs=2)
    with pytest.raises(Stale, match="another recipe"):
        load(path, "net", changed, data)
    with pytest.raises(Stale, match="another data"):
        load(path, "net", RECIPE, dataclasses.replace(data, fingerprint="other"))


def test_foreign_safetensors(tmp_path: Path, data: Dataset) -> None:
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path, {"format": "pt"})
    with pytest.raises(UserError, match="not written by resbench"):
        load(path, "net", RECIPE, data)


def test_a_pickle_is_refused(tmp_path: Path, data: Dataset) -> None:
    path = tmp_path / "net.safetensors"
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match="not safetensors"):
        load(path, "net", RECIPE, data)


def test_missing_tensor(path: Path, data: Dataset) -> None:
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    del tensors["0/stem.0.weight"], metadata["digest"]
    path.write_bytes(safetensors.torch.save(tensors, metadata))
    with pytest.raises(UserError, match=r"tensor stem\.0\.weight is missing"):
        load(path, "net", RECIPE, data)
