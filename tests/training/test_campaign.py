"""Training campaigns: what is trained, what is skipped, what a killed parent leaves behind."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from resbench.checking import Options, run_check
from resbench.errors import UserError
from resbench.records.aside import noticing
from resbench.records.locking import held
from resbench.retraining import train_networks
from resbench.training import campaign
from resbench.training.campaign import plan_jobs
from resbench.training.checkpoints import read_index

NETWORKS = ("post-9", "post-9-stochastic")


def test_train_then_go_on_then_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "seeds"
    (trained,) = train_networks("digits", NETWORKS, (3,), folder, 2)
    assert trained == folder
    assert sorted(read_index(folder)) == sorted(NETWORKS)
    assert "trained post-9 (" in capsys.readouterr().err
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    train_networks("digits", NETWORKS, (3,), folder, 2)
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    assert plan_jobs("digits", NETWORKS, {4: folder})[0].seeds == (4,), "another seed is not there yet"
    options = Options(select=("huang-heatmap",), settings=("digits",), checkpoints=folder, format="json")
    run_check(options)
    assert '"status": "HOLDS"' in capsys.readouterr().out


def test_the_longest_networks_start_first(tmp_path: Path) -> None:
    jobs = plan_jobs("digits", ("post-9", "preact-54", "vgg-15", "preact-54-23of54"), {0: tmp_path})
    assert [job.network for job in jobs] == ["preact-54-23of54", "preact-54", "vgg-15", "post-9"]


def test_a_damaged_checkpoint_is_trained_again(tmp_path: Path) -> None:
    (tmp_path / "post-9.safetensors").write_bytes(b"torn")
    with noticing() as aside:
        assert [job.network for job in plan_jobs("digits", ("post-9",), {0: tmp_path})] == ["post-9"]
    assert aside == [str(tmp_path / "post-9.safetensors.damaged-1")]
    assert (tmp_path / "post-9.safetensors.damaged-1").read_bytes() == b"torn"


def test_a_network_that_another_process_trains_there_is_refused(tmp_path: Path) -> None:
    with held(tmp_path / "post-9", "training"), pytest.raises(UserError, match="post-9 is held by process"):
        train_networks("digits", ("post-9",), (1, 2), tmp_path, 1)
    assert not list(tmp_path.glob("*.json"))


def test_several_seeds_get_a_folder_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resbench.training.campaign.run_jobs", lambda jobs, **_: None)
    folders = train_networks("digits", ("post-9",), (1, 2), tmp_path, 1)
    assert folders == [tmp_path / "seed-1", tmp_path / "seed-2"]


def test_an_unknown_network(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no network 'post-10'"):
        plan_jobs("digits", ("post-10",), {0: tmp_path})


def test_a_worker_ends_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead:
        def is_alive(self) -> bool:
            return False

    monkeypatch.setattr(multiprocessing, "parent_process", Dead)
    with pytest.raises(SystemExit):
        campaign._tell(multiprocessing.get_context("spawn").Queue(), "post-9", 1, 20)
