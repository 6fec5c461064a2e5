"""The house: which room may know which, which file is the door to which library, and what stays small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from gpuvis.results import record

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
    "distributed": {"jobs/connect", "jobs/cluster", "jobs/remote"},
    "dask": {"jobs/connect"},
    "dask_cuda": {"jobs/connect"},
    "cryptography": {"jobs/connect"},
}

MOST_LINES = 400
LONGER: dict[str, str] = {}  # files that have more lines, and why


def imports(module: str) -> list[tuple[str, bool]]:
    """Return what a module imports, and whether only for type checking."""
    nodes = list(ast.walk(tree(module)))
    typing_only = {
        id(inner)
        for node in nodes
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = []
    for node in nodes:
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


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


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


# The command line has as many parameters as options; loops take arrays and return arrays.
MANY_PARAMETERS = {"cli/commands", *(f"backends/cpu/{name}" for name in ("affinities", "neighbors", "umap"))}


@pytest.mark.parametrize("module", sorted(MODULES.keys() - MANY_PARAMETERS))
def test_functions_have_few_parameters(module) -> None:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef):
            names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            assert len(set(names) - {"self", "cls"}) <= 7, f"{module}: {node.name}"


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_has_a_docstring(module) -> None:
    def undocumented(node: ast.Module | ast.ClassDef) -> Iterator[str]:
        for inner in node.body:
            if isinstance(inner, ast.ClassDef | ast.FunctionDef) and not inner.name.startswith("_"):
                yield from [] if ast.get_docstring(inner) else [inner.name]
                yield from undocumented(inner) if isinstance(inner, ast.ClassDef) else []

    assert ast.get_docstring(tree(module))
    assert not list(undocumented(tree(module)))


KEYS = {
    "format",
    *(field.name for one in (record.CacheRecord, record.RunRecord, record.ScoresRecord) for field in fields(one)),
}


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in {"results", "jobs"}])
def test_keys_of_records_are_named_where_records_are_read_alone(module) -> None:
    for node in ast.walk(tree(module)):
        key = None
        if isinstance(node, ast.Subscript):
            key = node.slice
        elif isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith((".get", ".pop")):
            key = node.args[0]
        named = isinstance(key, ast.Constant) and key.value in KEYS
        assert not named or module in {"results/record", "results/schema"}, f"{module}: {ast.unparse(node)}"


def is_pair(annotation: ast.expr | None) -> bool:
    """Tell whether this is a tuple of parts, as tuple[A, B], and not of many of a kind, as tuple[A, ...]."""
    return (
        isinstance(annotation, ast.Subscript)
        and ast.unparse(annotation.value) == "tuple"
        and isinstance(annotation.slice, ast.Tuple)
        and "..." not in ast.unparse(annotation.slice)
    )


def last_name(node: ast.expr) -> str | None:
    return getattr(node, "attr", getattr(node, "id", None))


def pairs() -> set[str | None]:
    """Return the names of functions that return tuples of parts, and of attributes that hold some."""
    names: set[str | None] = set()
    for node in (node for module in MODULES for node in ast.walk(tree(module))):
        if isinstance(node, ast.FunctionDef) and is_pair(node.returns):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            annotated = [one for one in node.body if isinstance(one, ast.AnnAssign)]
            names |= {last_name(one.target) for one in annotated if is_pair(one.annotation)}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            names |= {target.attr for target in node.targets if isinstance(target, ast.Attribute)}
    return names - {"shape"}  # of arrays: everyone knows its parts


PAIRS = pairs()


def local_pairs(function: ast.FunctionDef) -> set[str]:
    """Return the variables of a function that hold tuples of parts."""
    arguments = (*function.args.args, *function.args.kwonlyargs)
    names = {argument.arg for argument in arguments if is_pair(argument.annotation)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and last_name(node.value.func) in PAIRS:
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize("module", MODULES)
def test_parts_of_tuples_have_names(module) -> None:
    """They are unpacked, or a class names them: nobody has to know what stands at [1]."""
    for function in [node for node in ast.walk(tree(module)) if isinstance(node, ast.FunctionDef)]:
        local = local_pairs(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value in {0, 1}:
                called = isinstance(node.value, ast.Call)
                of = node.value.func if called else node.value
                of_pair = last_name(of) in (local if isinstance(of, ast.Name) and not called else PAIRS)
                assert not of_pair, f"{module}: {ast.unparse(node)}"


@pytest.mark.parametrize("module", MODULES)
def test_only_the_command_line_prints_or_exits(module) -> None:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and room(module) != "cli":
            assert ast.unparse(node.func) not in {"print", "sys.exit", "exit"}


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in {"reduction", "quality", "labels"}])
def test_arithmetic_touches_no_files(module) -> None:
    assert not {name.split(".")[0] for name, _ in imports(module)} & {"os", "pathlib", "shutil", "io"}
    for node in ast.walk(tree(module)):
        assert not (isinstance(node, ast.Call) and ast.unparse(node.func) == "open")


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) != "backends" and name != "cli/options"])
def test_methods_are_named_in_their_table_alone(module) -> None:
    constants = [node.value for node in ast.walk(tree(module)) if isinstance(node, ast.Constant)]
    named = [value for value in constants if value in ("umap", "tsne")]
    assert named == (["umap", "tsne"] if module == "settings" else [])
