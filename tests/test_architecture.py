"""The house: who may import whom, and which file is the door to which library."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gpuvis"
MODULES = {str(p.relative_to(PACKAGE).with_suffix("")): p for p in sorted(PACKAGE.rglob("*.py"))}

DOORS = {
    "torch": {"tensors", "backends/gpu", "backends/gpu_memory"},
    "pandas": {"table", "score_tables"},
    "pyarrow": {"table"},
    "sklearn": {"backends/cpu_libraries", "demo"},
    "umap": {"backends/cpu_libraries"},
    "pynndescent": {"backends/cpu_libraries"},
    "numba": {"backends/cpu_libraries"},
    "threadpoolctl": {"backends/parallel"},
    "scipy": {
        *{"backends/kernels/__init__", "backends/parallel", "backends/cpu", "duplicates"},
        *{"backends/order", "backends/weights"},
        *{"backends/umap_layout", "backends/tsne_layout", "backends/tsne_repulsion"},
    },
    "plotly": {"page/figure", "page/painting"},
    "PIL": {"demo", "page/picture", "page/thumbnails"},
    "click": {"cli", "options", "program", "questions"},
    "rich": {"console"},
    "filelock": {"place"},
    "cupy": {"backends/gpu", "backends/gpu_layout", "backends/gpu_memory", "backends/gpu_graph", "backends/gpu_table"},
    "cudf": {"backends/gpu_table"},
    "cuml": {"backends/gpu", "backends/gpu_layout"},
    "cuvs": {"backends/gpu_graph"},
    "rmm": {"backends/gpu_memory"},
    "matplotlib": {"page/static"},
}

# Every module stands above all that it may import of ours.
FLOORS = [
    {"cgroups", "errors"},
    {
        "machine",
        "steps",
        "atomic",
        "archive",
        "interrupts",
        "ordinary",
        "pca",
        "votes",
        "__init__",
        "page/__init__",
    },
    {"terminal", "threads", "backends/footprint", "backends/noted", "backends/probe"},
    {"settings", "folders", "table", "tensors", "place"},
    {"pages", "classes", "schema"},
    {"page/palette", "page/pack", "page/sample", "page/picture", "page/template", "page/thumbnails"},
    {"page/columns", "page/images", "page/index"},
    {"page/painting"},
    {"backends/graph", "backends/kernels/__init__", "backends/parallel", "backends/base", "backends/limits"},
    {"backends/halves", "backends/tally"},
    {
        *{"matrix", "fingerprint", "outcome", "predictions", "page/figure", "page/static", "options"},
        *{
            "backends/plan",
            "backends/cpu_plan",
            "backends/lists",
            "backends/weights",
            "backends/order",
        },
    },
    {
        "backends/umap_layout",
        "backends/tsne_repulsion",
        "backends/cpu_neighbors",
        "backends/cpu_libraries",
    },
    {"backends/tsne_layout", "backends/cuml_keywords"},
    {
        "backends/sizing",
        "backends/gpu_layout",
        "backends/gpu_graph",
        "backends/gpu_memory",
        "backends/gpu_table",
    },
    {
        *{"agreement", "beside", "centroids", "comparisons", "duplicates", "outputs", "trust"},
        *{"backends/cpu", "backends/gpu"},
    },
    {"ranks"},
    {"cache", "quality", "outliers", "standing", "backends/__init__"},
    {"reduction", "demo", "score_tables"},
    {"record", "original"},
    {"auditing"},
    {"job"},
    {"shown", "frontpage", "watcher"},
    {"drawing", "measuring"},
    {"finishing", "scoring"},
    {"stages"},
    {"child", "pipeline"},
    {"worker"},
    {"batch"},
    {"console"},
    {"program"},
    {"questions"},
    {"cli"},
    {"__main__"},
]
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Return what a file imports, and whether only for type checking."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in typing_only) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [(f"{node.module}.{alias.name}", id(node) in typing_only) for alias in node.names]
    return found


def own(name: str) -> str | None:
    """Return the module of ours that an import names."""
    parts = name.split(".")
    if parts[0] != "gpuvis":
        return None
    for length in (len(parts), len(parts) - 1):
        path = "/".join(parts[1:length])
        for candidate in (path, f"{path}/__init__" if path else "__init__"):
            if candidate in MODULES:
                return candidate
    raise AssertionError(f"{name} is no module of gpuvis")


def test_every_module_has_its_floor() -> None:
    assert set(MODULES) == set(FLOOR)


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_down(module) -> None:
    if module == "__init__":
        return  # the public names, looked up when used
    for name, typing_only in imports(MODULES[module]):
        target = own(name)
        if target and not typing_only:
            assert FLOOR[target] < FLOOR[module], f"{module} imports {target}"


@pytest.mark.parametrize("module", MODULES)
def test_each_heavy_library_has_its_door(module) -> None:
    for name, typing_only in imports(MODULES[module]):
        doors = DOORS.get(name.split(".")[0])
        assert doors is None or typing_only or module in doors, f"{module} imports {name}"


def test_every_door_is_used() -> None:
    used = {(name.split(".")[0], module) for module, path in MODULES.items() for name, _ in imports(path)}
    assert {(library, module) for library, modules in DOORS.items() for module in modules} <= used


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_stay_small(module) -> None:
    text = MODULES[module].read_text()
    assert len(text.splitlines()) <= 250
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            assert not body or node.end_lineno - body[0].lineno < 40, f"{module}: {node.name}"


def test_only_the_command_line_prints_or_exits() -> None:
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and module not in {"cli", "console", "program"}:
                assert ast.unparse(node.func) not in {"print", "sys.exit", "exit"}, module
