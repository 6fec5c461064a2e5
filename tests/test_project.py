"""What stands around the code: pins, Makefile, demo, public names."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from examples import content
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import gpuvis
from gpuvis import cache, demo
from gpuvis.errors import OutputError, OutputExistsError

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def needed(name: str, extra: str = "") -> set[str]:
    """Return all that a package needs here, directly and indirectly."""
    found: set[str] = set()
    todo = [(name, extra)]
    while todo:
        package, wanted = todo.pop()
        for text in metadata.requires(package) or []:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or marker.evaluate({"extra": wanted}):
                dependency = canonicalize_name(requirement.name)
                if dependency not in found:
                    found.add(dependency)
                    todo += [(dependency, one) for one in ("", *requirement.extras)]
    return found


def test_every_dependency_is_pinned_to_what_is_tested() -> None:
    pinned, all_needed = pins(), needed("gpuvis") | needed("gpuvis", "dev")
    assert {"torch", "umap-learn", "llvmlite", "pytest", "narwhals"} <= all_needed
    assert all_needed - set(pinned) == set()


def test_pins_lie_in_the_ranges() -> None:
    for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]):
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)]), text


def test_versions_can_stand_beside_rapids() -> None:
    assert pins()["numba"].startswith("0.64.")
    assert pins()["pandas"].startswith("3.0.")
    assert pins()["torch"] == "2.13.0"


def make(*args: str, **env: str) -> str:
    command = ["make", "--no-print-directory", "-n", "-C", str(ROOT), *args]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin", **env}
    ).stdout


def test_make_hands_over_what_the_user_says() -> None:
    told = make("reduce", "CACHE_DIR=my cache", "METHOD=tsne", "PCA_DIM=50", "BACKEND=cpu", "ARGS=--overwrite", "VENV=")
    line = " ".join(told.replace("\\\n", " ").split("-m gpuvis reduce")[1].split())
    assert line == '"$CACHE_DIR" --tsne --backend cpu --pca_dim 50 --overwrite'
    assert "gpuvis demo" not in told
    assert "-m gpuvis reduce demo_cache --umap" in make("reduce", "VENV=")


def test_make_installs_what_the_user_says() -> None:
    told = make("install", "EXTRAS=cu13", "TORCH_INDEX=https://example.org/cpu", "VENV=", "PYTHON=python3.12")
    assert '--no-deps --index-url "https://example.org/cpu" torch==2.13.0' in told
    assert 'python3.12 -m pip install --quiet --disable-pip-version-check  -e ".[cu13]"' in told
    assert "-c constraints.txt" in make("install", "VENV=/nowhere")
    assert "torch==2.13.0" in make("install-dev", "TORCH_INDEX=https://example.org/cpu", "VENV=/nowhere")


def test_make_help_lists_every_target() -> None:
    told = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in set(phony.split()) - {"install-dev", "torch", "ready", "ready-dev"}:
        assert re.search(rf"make {target} +\w", told), target


def test_public_names_are_sorted_and_there() -> None:
    assert gpuvis.__all__ == sorted(gpuvis.__all__)
    assert set(gpuvis.__all__) == {*gpuvis._HOMES, "__version__"}
    for name in gpuvis.__all__:
        assert getattr(gpuvis, name).__doc__ or name == "__version__"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        gpuvis.nothing  # noqa: B018


def test_the_demo_is_a_whole_cache_with_its_images(digits) -> None:
    got = cache.read(digits)
    got.verify()
    assert got.notes == ()
    assert got.embeddings.shape == (1797, 64)
    assert set(got.table["ground_truth_L2_num_label"]) == {"0", "1"}
    for row in (0, 1796):
        image = np.asarray(
            Image.open(digits / "images" / got.table["file_name"][row]).resize((8, 8), Image.Resampling.BOX)
        )
        np.testing.assert_allclose(255 - image, got.embeddings[row].reshape(8, 8).numpy() * 255 / 16, atol=1)


def test_the_demo_is_not_written_over_anything(digits, tmp_path) -> None:
    before = content(digits)
    assert demo.write(digits) == digits  # it is there already
    assert content(digits) == before
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(OutputExistsError, match="is there already and is no demo"):
        demo.write(tmp_path)
    with pytest.raises(OutputExistsError, match="is there already and is no demo"):
        demo.write(tmp_path / "mine")
    with pytest.raises(OutputError, match="cannot be written: Not a directory"):
        demo.write(tmp_path / "mine" / "below")
    assert content(tmp_path) == {"mine": b"mine"}


def test_a_demo_that_was_interrupted_is_written_anew(tmp_path) -> None:
    left = tmp_path / ".demo.part" / "images"
    left.mkdir(parents=True)
    (left / "half.png").touch()
    (tmp_path / "demo").mkdir()
    cache.read(demo.write(tmp_path / "demo")).verify()
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    assert not list((tmp_path / "demo").rglob("half.png"))
