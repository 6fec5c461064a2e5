"""The house: which room may know which, which file is the door to which library, and what stays small."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gpuvis"
MODULES = {
    str(path.relative_to(PACKAGE).with_suffix("")).removesuffix("/__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# A room is a folder, or a file that lies in none. It knows rooms below its floor, and none beside it.
FLOORS = [
    {"cgroups", "errors", "signals", "timing"},
    {"machine", "settings"},
    {"arrays"},
    {"io"},
    {"backends", "page", "demo"},
    {"reduction", "quality", "labels"},
    {"results"},
    {"jobs"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}

DOORS = {
    "torch": {"io/pt", "backends/gpu/backend", "backends/gpu/memory"},
    "pandas": {"io/table", "labels/tables"},
    "pyarrow": {"io/table"},
    "sklearn": {"backends/cpu/libraries", "demo"},
    "umap": {"backends/cpu/libraries"},
    "pynndescent": {"backends/cpu/libraries"},
    "numba": {"backends/cpu/libraries"},
    "threadpoolctl": {"backends/parallel"},
    "scipy": {
        *{"backends/cpu/kernels", "backends/parallel", "backends/cpu/backend", "labels/duplicates"},
        *{"backends/cpu/order", "backends/cpu/affinities", "backends/cpu/umap", "backends/cpu/tsne"},
    },
    "plotly": {"page/html", "page/coloring"},
    "PIL": {"demo", "page/icon", "page/thumbnails"},
    "click": {"cli/commands", "cli/main", "cli/manual", "cli/options"},
    "rich": {"cli/console", "cli/manual"},
    "filelock": {"io/files"},
    "cupy": {f"backends/gpu/{name}" for name in ("backend", "layout", "memory", "neighbors", "table")},
    "cudf": {"backends/gpu/table"},
    "cuml": {"backends/gpu/backend", "backends/gpu/layout"},
    "cuvs": {"backends/gpu/neighbors"},
    "rmm": {"backends/gpu/memory"},
    "matplotlib": {"page/static"},
}

MOST_LINES = 400
LONGER: dict[str, str] = {}  # files that have more lines, and why


def imports(module: str) -> list[tuple[str, bool]]:
    """Return what a module imports, and whether only for type checking."""
    tree = ast.parse(MODULES[module].read_text())
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
            assert node.level == 0, f"{module}: relative import"
            found += [(f"{node.module}.{alias.name}", id(node) in typing_only) for alias in node.names]
    return found


def own(name: str) -> str | None:
    """Return the module of ours that an import names."""
    parts = name.split(".")
    if parts[0] != "gpuvis":
        return None
    for length in (len(parts), len(parts) - 1):
        candidate = "/".join(parts[1:length]) or "__init__"
        if candidate in MODULES:
            return candidate
    raise AssertionError(f"{name} is no module of gpuvis")


def known(module: str) -> set[str]:
    """Return the modules of ours that a module imports when it runs."""
    return {target for name, typing_only in imports(module) if not typing_only and (target := own(name))}


def room(module: str) -> str:
    return module.partition("/")[0]


def test_every_room_has_its_floor() -> None:
    assert {room(module) for module in MODULES} == {"__init__", *FLOOR}


def test_there_are_few_rooms_and_few_files_outside_of_them() -> None:
    assert len(FLOORS) <= 10
    assert len([path for path in PACKAGE.iterdir() if path.is_file()]) <= 13


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"__init__"}))  # the public names, looked up when used
def test_a_room_knows_only_rooms_below(module) -> None:
    for target in known(module) - {"__init__"}:
        assert room(target) == room(module) or FLOOR[room(target)] < FLOOR[room(module)], f"{module} imports {target}"


def test_nothing_within_a_room_goes_round_in_a_circle() -> None:
    graph = {module: {one for one in known(module) if room(one) == room(module)} for module in MODULES}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", MODULES)
def test_each_heavy_library_has_its_door(module) -> None:
    for name, typing_only in imports(module):
        doors = DOORS.get(name.split(".")[0])
        assert doors is None or typing_only or module in doors, f"{module} imports {name}"


def test_every_door_is_used() -> None:
    used = {(name.split(".")[0], module) for module in MODULES for name, _ in imports(module)}
    assert {(library, module) for library, modules in DOORS.items() for module in modules} <= used


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_stay_small(module) -> None:
    text = MODULES[module].read_text()
    assert len(text.splitlines()) <= MOST_LINES or module in LONGER
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            assert not body or node.end_lineno - body[0].lineno < 40, f"{module}: {node.name}"


@pytest.mark.parametrize("module", MODULES)
def test_only_the_command_line_prints_or_exits(module) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Call) and room(module) != "cli":
            assert ast.unparse(node.func) not in {"print", "sys.exit", "exit"}


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in {"reduction", "quality", "labels"}])
def test_arithmetic_touches_no_files(module) -> None:
    assert not {name.split(".")[0] for name, _ in imports(module)} & {"os", "pathlib", "shutil", "io"}
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        assert not (isinstance(node, ast.Call) and ast.unparse(node.func) == "open")


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) != "backends" and name != "cli/options"])
def test_methods_are_named_in_their_table_alone(module) -> None:
    constants = [
        node.value for node in ast.walk(ast.parse(MODULES[module].read_text())) if isinstance(node, ast.Constant)
    ]
    named = [value for value in constants if value in ("umap", "tsne")]
    assert named == (["umap", "tsne"] if module == "settings" else [])
