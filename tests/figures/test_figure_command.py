"""`resbench figure`: files, the list, and what goes wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import altair as alt
import pandas as pd
import pytest
from figure_fakes import made_up_sources

import resbench.plan
from conftest import Run
from resbench.errors import NotMeasured, UserError
from resbench.figures import FIGURES, build
from resbench.figures.export import figure_svg, rendered
from resbench.figures.model import Figure, Missing
from resbench.figures.sources import Sources, command_for, gathered
from resbench.records import places

COMMITTED = places.baselines()


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the committed evidence."""
    folder = tmp_path / "baselines"
    folder.mkdir()
    monkeypatch.setattr(places, "baselines", lambda: folder)
    monkeypatch.setattr(resbench.plan, "baselines", lambda: folder)
    return folder


def own(records: Path) -> Sources:
    return Sources(resbench.plan.Run([]))


@pytest.mark.parametrize(
    ("suffix", "begins"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("csv", b"deleted_units,"), ("json", b"{")]
)
def test_a_file_of_each_kind(suffix: str, begins: bytes, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "new" / f"figure.{suffix}"
    code, printed, err = run("figure", "veit-fig7", "--out", str(out), "--theme", "dark")
    assert (code, printed) == (0, ""), err
    assert out.read_bytes().startswith(begins)


def test_numbers_go_to_standard_output(run: Run) -> None:
    code, out, err = run("figure", "veit-fig6a", "--format", "csv")
    assert (code, err) == (0, "")
    assert out.splitlines()[28].startswith("27,1946939425648112")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("veit-fg3",), "did you mean veit-fig3?"),
        (("veit-fig7", "--out", "x.gif"), "name a .svg, .png, .csv or .json file"),
        ((), "resbench figure --list"),
        (("veit-fig7", "--list"), "--list takes no figure"),
        (("--list", "--format", "png"), "--format json"),
        (("he-table1", "--out", "file/x.svg"), "choose another folder"),
    ],
)
def test_usage_is_said_in_one_line_before_anything_is_measured(
    arguments: tuple[str, ...], said: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("resbench.experiments.lab.measured", lambda *_: pytest.fail("measured"))
    code, out, err = run("figure", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err


def test_a_picture_is_not_printed_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, _, err = run("figure", "veit-fig7")
    assert code == 2
    assert "--out veit-fig7.svg" in err


def test_the_list_measures_nothing_and_has_every_figure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resbench.experiments.lab.measured", lambda *_: pytest.fail("measured"))
    code, out, err = run("figure", "--list")
    assert (code, err) == (0, "")
    assert all(f"{name} (" in out for name in FIGURES)
    assert "veit-fig7 (drawn)" in out
    assert "lesion-interactions (in part)" in out
    assert max(map(len, out.splitlines())) <= 80


def test_without_any_record_every_figure_says_what_to_run(records: Path) -> None:
    sources = Sources(resbench.plan.Run([]), measure=False)
    for name in FIGURES:
        figure = build(name, sources)
        assert figure.missing or name in ("veit-fig6a", "veit-fig7"), name
        if figure.chart is not None:
            figure_svg(figure)
        else:
            with pytest.raises(NotMeasured, match=r"resbench|pip"):
                figure_svg(figure)


def test_a_damaged_record_is_a_users_error(records: Path) -> None:
    kept = COMMITTED / "claims/cifar10-public/resnet56/single_deletion.json"
    place = records / "claims/cifar10-public/resnet56"
    place.mkdir(parents=True)
    (place / kept.name).write_bytes(kept.read_bytes()[:-2000])
    sources = made_up_sources()
    with pytest.raises(UserError, match="single_deletion"):
        build("veit-fig3", sources)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"faults": [{"name": 3}], "survivors": []}', b'{"faults": 7}']
)
def test_a_damaged_kill_matrix_is_a_users_error(content: bytes, records: Path) -> None:
    (records / "kill-matrix.json").write_bytes(content)
    with pytest.raises(UserError, match="kill-matrix"):
        build("kill-matrix", own(records))


def test_a_damaged_timing_run_is_a_users_error(records: Path) -> None:
    (records / "throughput").mkdir()
    (records / "throughput/a.json").write_text('{"schema": "resbench.timing/1", "name": "a"}')
    with pytest.raises(UserError, match="not a timing run"):
        build("throughput-blocks", own(records))


def test_names_that_hold_markup_are_escaped(records: Path) -> None:
    document = json.loads((COMMITTED / "kill-matrix.json").read_text())
    document["faults"] = document["faults"][:3]
    document["faults"][0] |= {"name": "<script>x</script> & \x1b[31m", "killed_by": ['veit-"<b>']}
    document["survivors"] = ["<script>y</script>"]
    (records / "kill-matrix.json").write_text(json.dumps(document))
    svg = figure_svg(build("kill-matrix", own(records)))
    ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert "\x1b" not in svg


def test_letters_that_no_xml_holds_do_not_break_a_picture() -> None:
    frame = pd.DataFrame({"name": ["a\x1b[31m\x00b"]})
    chart = alt.Chart(frame).mark_text().encode(text="name:N", tooltip="name:N")
    figure = Figure("x", "lesions", "T\x07", "c\x1b", "d", ("s",), frame, chart)
    ElementTree.fromstring(figure_svg(figure))


def test_stale_records_are_missing_not_drawn(records: Path) -> None:
    source = COMMITTED / "claims/cifar10-public"
    shutil.copytree(source / "resnet56", records / "claims/cifar10-public/resnet56")
    sources = own(records)
    from resbench.records.versions import VERSIONS

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VERSIONS, "path_gradients", VERSIONS["path_gradients"] + 1)  # type: ignore[arg-type]
        found = sources.attempt("cifar10-public", "resnet56", "path_gradients")
    assert isinstance(found, Missing)
    assert "STALE" in found.what


def test_commands_of_several_networks_are_one() -> None:
    sources = Sources(resbench.plan.Run([]))
    lacking = [sources.attempt("cifar10", f"resnet{depth}-constant", "evaluation") for depth in (20, 38, 56, 74)]
    (one,) = gathered([each for each in lacking if isinstance(each, Missing)])  # type: ignore[misc]
    assert one.command == command_for("cifar10", *(f"resnet{depth}-constant" for depth in (20, 38, 56, 74)))
    assert one.what.endswith("and 1 more: no evaluation recorded")
    assert command_for("digits", "post-9") == "resbench train --setting digits --network post-9 --out FOLDER"


def test_nothing_to_draw_says_the_command() -> None:
    missing = (Missing("pairs: not measured", "resbench lesion X --mode pairs"),)
    empty = Figure("x", "lesions", "T", "c", "d", ("s",), pd.DataFrame({"a": []}), None, missing)
    with pytest.raises(NotMeasured, match="resbench lesion X --mode pairs"):
        rendered(empty, "png")
    assert rendered(empty, "csv") == b"a\n"
    assert json.loads(rendered(empty, "json"))["vega_lite"] is None
    with pytest.raises(UserError, match="--format takes"):
        rendered(empty, "gif")
