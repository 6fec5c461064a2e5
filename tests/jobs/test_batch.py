from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from doubles import FirstColumns, Log, results
from examples import content
from process import as_nobody

from gpuvis.backends import Selection
from gpuvis.errors import NoGpuError, SettingsError
from gpuvis.io import cache
from gpuvis.io.folders import find
from gpuvis.jobs import batch
from gpuvis.jobs.batch import Request
from gpuvis.page.options import Page
from gpuvis.settings import Settings, Tsne


@pytest.fixture
def tree(make_cache, tmp_path) -> Path:
    """Twelve folders, of which three are broken: before, amid and after the others."""
    for k in range(12):
        make_cache(f"study/model_{k:02d}_data/test/seed{k}", seed=k)
    study = tmp_path / "study"
    (study / "model_00_data/test/seed0/embeddings.pt").unlink()
    X = cache.read(study / "model_05_data/test/seed5").embeddings.clone()
    X[3] = float("nan")
    torch.save(X, study / "model_05_data/test/seed5/embeddings.pt")
    (study / "model_11_data/test/seed11/metadata.csv").write_text("file_name\nx\n")
    return study


def test_a_tree_with_broken_folders(tree, backend) -> None:
    log = Log()
    report = batch.run(Request((tree,), Settings()), log)
    assert sorted(tree.rglob("*_coords.npy")) == [
        tree / f"model_{k:02d}_data/test/seed{k}/vis_umap_coords.npy" for k in range(1, 11) if k != 5
    ]
    errors = [str(outcome.error) for outcome in report.outcomes if outcome.error]
    assert len(errors) == 3
    assert "seed0: embeddings.pt is missing" in errors[0]
    assert "seed11: embeddings.pt has 40 rows but metadata.csv has 1" in errors[1]
    assert "embeddings.pt has values that are not finite in float32: 1 row holds NaN" in errors[2]
    assert report.exit_code == 1
    assert len(log.folders) == 10


def test_all_is_checked_before_anything_is_computed(tree, monkeypatch) -> None:
    class Counting(FirstColumns):
        def umap(self, *args):
            assert len(log.outcomes) >= 2  # the folders that are broken at first sight were told
            return super().umap(*args)

    log = Log()
    monkeypatch.setattr("gpuvis.jobs.place.choose", lambda name: Selection(Counting(), "for the test"))
    report = batch.run(Request((tree,), Settings()), log)
    assert [outcome.result for outcome in report.outcomes].count("written") == 9


def test_what_nobody_expected_fails_one_folder_only(make_cache, tmp_path, monkeypatch) -> None:
    class Failing(FirstColumns):
        def umap(self, X, *args):
            if self.calls.count("umap") == 1:
                self.calls.append("umap")
                raise ZeroDivisionError("oh\nno")
            return super().umap(X, *args)

    for name in "abc":
        make_cache(f"t/{name}")
    monkeypatch.setattr("gpuvis.jobs.place.choose", lambda name: Selection(fake, ""))
    fake = Failing()
    report = batch.run(Request((tmp_path / "t",), Settings()), Log())
    assert results(report) == [("a", "umap", "written"), ("b", "umap", "failed"), ("c", "umap", "written")]
    assert str(report.outcomes[1].error).endswith("b: unexpected ZeroDivisionError: oh no")
    assert report.exit_code == 1


def test_the_exit_code_is_the_largest(make_cache, tmp_path, monkeypatch) -> None:
    class Small(FirstColumns):
        def umap(self, X, *args):
            raise MemoryError

    make_cache("t/a")
    (make_cache("t/b") / "embeddings.pt").unlink()
    monkeypatch.setattr("gpuvis.jobs.place.choose", lambda name: Selection(Small(), ""))
    report = batch.run(Request((tmp_path / "t",), Settings()), Log())
    assert [outcome.exit_code for outcome in report.outcomes] == [1, 4]
    assert report.exit_code == 4


def test_an_interrupt_keeps_what_is_finished(make_cache, tmp_path, monkeypatch) -> None:
    class Interrupted(FirstColumns):
        def tsne(self, *args):
            raise KeyboardInterrupt

    for name in "ab":
        make_cache(f"t/{name}")
    before = {f"b/{name}" for name in content(tmp_path / "t" / "b")}
    monkeypatch.setattr("gpuvis.jobs.place.choose", lambda name: Selection(Interrupted(), ""))
    report = batch.run(Request((tmp_path / "t",), Settings(tsne=Tsne())), Log())
    assert isinstance(report.stopped, KeyboardInterrupt)
    assert results(report) == [("a", "umap", "written")]
    made = set(content(tmp_path / "t"))
    assert {"a/vis_umap_coords.npy", "a/vis_umap.html", "a/vis_umap_run.json"} <= made
    assert {name for name in made if name.startswith("b/")} == before
    assert not [name for name in made if "tsne" in name or "/." in name]


def test_outputs_can_go_elsewhere(tree, tmp_path, backend) -> None:
    before = content(tree)
    batch.run(Request((tree,), Settings(), out_dir=tmp_path / "out"), Log())
    assert content(tree) == before
    assert (tmp_path / "out/model_03_data/test/seed3/vis_umap.html").exists()
    assert len(list((tmp_path / "out").rglob("*_coords.npy"))) == 9


def test_outputs_never_leave_the_other_place(make_cache, tmp_path, monkeypatch, backend) -> None:
    make_cache("x/seed1")
    make_cache("y/z/here/seed1")
    monkeypatch.chdir(tmp_path / "y/z")
    batch.run(Request((Path("../../x/seed1"), Path("here/./seed1")), Settings(), out_dir=Path("out")), Log())
    assert not list((tmp_path / "x").rglob("vis*"))
    assert (tmp_path / "y/z/out/x/seed1/vis_umap.html").exists()
    assert (tmp_path / "y/z/out/y/z/here/seed1/vis_umap.html").exists()


def test_a_bad_folder_leaves_no_folder_elsewhere(make_cache, tmp_path, backend) -> None:
    folder = make_cache("a")
    torch.save(torch.full((40, 8), torch.nan), folder / "embeddings.pt")
    report = batch.run(Request((folder,), Settings(), out_dir=tmp_path / "out" / "below"), Log())
    assert report.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_a_path_that_is_not_utf_8(make_cache, tmp_path, monkeypatch, backend) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    make_cache("a").rename(odd)
    report = batch.run(Request((odd,), Settings()), Log())
    assert "cannot be read: its path is not UTF-8; rename the folder" in str(report.outcomes[0].error)
    monkeypatch.chdir(odd)
    assert results(batch.run(Request((Path(),), Settings()), Log())) == [("", "umap", "written")]
    assert results(batch.run(Request((Path(),), Settings()), Log())) == [("", "umap", "up to date")]


def test_one_folder_goes_straight_to_the_other_place(make_cache, tmp_path, backend) -> None:
    batch.run(Request((make_cache("a"),), Settings(), out_dir=tmp_path / "out"), Log())
    assert (tmp_path / "out/vis_umap.html").exists()


def test_folders_from_several_places_stay_apart(make_cache, tmp_path, backend) -> None:
    roots = (make_cache("x/seed1"), make_cache("y/seed1"))
    batch.run(Request(roots, Settings(), out_dir=tmp_path / "out"), Log())
    assert (tmp_path / "out/x/seed1/vis_umap.html").exists()
    assert (tmp_path / "out/y/seed1/vis_umap.html").exists()


def _load_all(make_cache) -> None:
    """Have Python load what it loads late, as it may lie where only root reads."""
    batch.run(Request((make_cache("other"),), Settings()), Log())


def test_read_only_caches_can_be_drawn_elsewhere(make_cache, tmp_path, backend) -> None:
    _load_all(make_cache)
    folder, out = make_cache("a"), tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    with as_nobody(folder, out):
        report = batch.run(Request((folder,), Settings()), Log())
        assert "is read-only; name a folder" in str(report.outcomes[0].error)
        report = batch.run(Request((folder,), Settings(), out_dir=out / "below"), Log())
    assert results(report) == [("a", "umap", "written")]


def test_each_cache_is_found_once_and_links_are_followed(make_cache, tmp_path) -> None:
    for name in ("t/b/test/seed1", "t/a/test/seed1", "elsewhere/seed2"):
        make_cache(name)
    (tmp_path / "t/a/train").mkdir()
    (tmp_path / "t/a/train/metadata.csv").write_text("x\n")
    (tmp_path / "t/a/loop").symlink_to(tmp_path / "t")
    (tmp_path / "t/c").symlink_to(tmp_path / "elsewhere")
    found = [
        str(p.relative_to(tmp_path)) for p in find([tmp_path / "t", tmp_path / "t/a/test/seed1", tmp_path / "t/."])
    ]
    assert found == ["t/a/test/seed1", "t/a/train", "t/b/test/seed1", "t/c/seed2"]


def test_a_real_folder_goes_before_a_link_to_it(make_cache, tmp_path) -> None:
    make_cache("t/z/test/seed1")
    (tmp_path / "t/a").mkdir()
    (tmp_path / "t/a/link").symlink_to(tmp_path / "t/z/test/seed1")
    assert list(find([tmp_path / "t"])) == [tmp_path / "t/z/test/seed1"]


@pytest.mark.parametrize("name", ["vis_umap.html", "vis_umap.png"])
def test_a_folder_in_the_place_of_a_file_is_told_before_the_work(make_cache, backend, name) -> None:
    folder = make_cache()
    (folder / name).mkdir()
    report = batch.run(Request((folder,), Settings(), page=Page(static=("png",)), overwrite=True), Log())
    assert f"{name} is a folder, where a file has to be written; move it away" in str(report.outcomes[0].error)
    assert backend.calls == []


def test_a_folder_that_cannot_be_looked_into_is_told(make_cache, tmp_path, backend) -> None:
    _load_all(make_cache)
    make_cache("t/a")
    closed = make_cache("t/b")
    closed.chmod(0)
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    try:
        with as_nobody(tmp_path / "t/a", out):
            report = batch.run(Request((tmp_path / "t",), Settings(), out_dir=out), Log())
    finally:
        closed.chmod(0o755)
    assert results(report) == [("b", None, "failed"), ("a", "umap", "written")]
    told = f"{closed} cannot be read: Permission denied; give yourself the right to list and enter it, or leave it out"
    assert str(report.outcomes[0].error) == told


@pytest.mark.parametrize("empty", [True, False])
def test_no_cache_at_all_is_an_error(tmp_path, backend, empty) -> None:
    if empty:
        (tmp_path / "t").mkdir()
    report = batch.run(Request((tmp_path / "t",), Settings()), Log())
    assert report.exit_code == 1
    expected = "holds no cache" if empty else "is not a folder"
    assert expected in str(report.outcomes[0].error)


def test_a_folder_that_goes_away_fails_alone(make_cache, tmp_path, monkeypatch) -> None:
    class Removing(FirstColumns):
        def umap(self, *args):
            shutil.rmtree(tmp_path / "t/b", ignore_errors=True)
            return super().umap(*args)

    for name in "abc":
        make_cache(f"t/{name}")
    monkeypatch.setattr("gpuvis.jobs.place.choose", lambda name: Selection(Removing(), ""))
    report = batch.run(Request((tmp_path / "t",), Settings()), Log())
    assert [outcome.result for outcome in report.outcomes] == ["written", "failed", "written"]
    assert not os.path.exists(tmp_path / "t/b")  # noqa: PTH110


def test_without_a_gpu_nothing_is_begun(tree) -> None:
    before = content(tree)
    with pytest.raises(NoGpuError):
        batch.run(Request((tree,), Settings(), backend="gpu"), Log())
    assert content(tree) == before


@pytest.mark.parametrize("prefix", ["", "a/b", "x" * 300, "a\nb"])
def test_a_prefix_is_the_start_of_a_name(tmp_path, prefix) -> None:
    with pytest.raises(SettingsError, match="out_prefix has to be the start of a file name"):
        Request((tmp_path,), Settings(), prefix=prefix)
