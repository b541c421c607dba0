"""Imports: when modules are imported, and in which direction."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {
    "torch",
    "transformers",
    "faiss",
    "onnxruntime",
    "PIL",
    "numpy",
    "sqlite_utils",
    "watchfiles",
    "pyarrow",
    "tomlkit",
    "rapidocr",
    "cv2",
    "huggingface_hub",
    "onnx",
    "pillow_heif",
    "pydantic",
    "rich",
    "safetensors",
    "mteb",
    "scipy",
    "pacmap",
    "numba",
    "sklearn",
    "tokenizers",
}

# The layers: what each room may import besides itself. `errors` and `tracing` may be used anywhere.
LAYERS = {
    "index.errors": "",
    "index.events": "",
    "index.common": "",
    "index.media": "common",
    "index.encoders": "common events",
    "index.store": "common",
    "index.calibration": "common encoders store",
    "index.index_model": "encoders store",
    "index.embed": "encoders media events",
    "index.indexing": "calibration common index_model media encoders store events",
    "index.search": "calibration common index_model media encoders store",
    "index.analysis": "search calibration common index_model media encoders store",
    "index.organize": "common",
    "index.maintenance": "common indexing store",
    "index.evaluation": "analysis embed encoders events indexing maintenance media search store",
    "index.mteb_wrapper": "evaluation",
    # The command line sees the whole engine; these are its own rooms.
    "cli.console": "",
    "cli.framework": "console",
    "cli.options": "framework console",
    "cli.render": "options framework console",
    "cli.commands": "render options framework console",
    "cli.app": "framework console",
    "cli.__main__": "",
    "cli": "app framework",
    "index.api": "encoders events indexing maintenance search store",
    "index": "api",
}


def imported(arguments: list[str], environ: dict[str, str] | None = None) -> set[str]:
    """Return the top-level modules that the command with these arguments imports."""
    code = (
        "import sys\n"
        f"sys.argv = ['nmm', *{arguments!r}]\n"
        "from nmm.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["index", "--help"], ["search", "--help"], ["config", "path"]],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert imported(arguments) & HEAVY == set()


def test_a_search_never_imports_torch(tmp_path: Path, model_cache: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("The cat sleeps on the piano.")
    import os

    environ = {**os.environ, "NMM_INDEX": str(tmp_path / "index")}
    indexing = imported(["index", str(note)], environ)
    searching = imported(["search", "cat", "--paths"], environ)
    never = {"torch", "transformers", "sentence_transformers", "tomlkit"}
    assert never & (indexing | searching) == set()
    assert "onnxruntime" in searching
    # Few vectors are compared in the catalog, which takes less time than importing FAISS.
    assert {"faiss", "sqlite_utils"} & searching == set()


def structure() -> ModuleType:
    """The script that reads which module imports which."""
    path = str(ROOT / "scripts" / "structure")
    loader = SourceFileLoader("structure", path)
    module = module_from_spec(spec_from_loader("structure", loader) or pytest.fail(path))
    loader.exec_module(module)
    return module


def room(module: str) -> str:
    """Return the room of a module, as in LAYERS: the first name below cli or index, if any."""
    return ".".join(module.split(".")[1:3])


def test_imports_go_down_the_layers() -> None:
    wrong = []
    for module, targets in structure().imports(ROOT).items():
        side, _, _ = room(module).partition(".")
        allowed = {f"{side}.{name}" for name in LAYERS[room(module)].split()}
        allowed |= {room(module), "index.errors", "index.common"}
        if module == "nmm.cli.__main__":
            allowed.add("cli")
        wrong += [
            f"{module} imports {target}"
            for target in targets
            if room(target) not in allowed
            and not (side == "cli" and room(target).startswith("index"))
        ]
    assert wrong == []


def test_no_imports_go_in_a_circle() -> None:
    found = structure()
    assert found.circles(found.imports(ROOT)) == []
    assert found.circles(found.room_imports(ROOT)) == []


def test_a_circle_would_be_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"e2"}, "e2": {"e"}}
    assert structure().circles(graph) == [["a", "b", "c"], ["e", "e2"]]


@pytest.mark.parametrize(
    "file", sorted((ROOT / "index").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT))
)
def test_the_engine_never_prints_or_exits(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert called & {"print", "input", "exit", "quit", "sys.exit", "os._exit"} == set()
    assert called & {"sys.stdout.write", "sys.stderr.write"} == set()


def test_the_former_place_of_the_mteb_adapter_works() -> None:
    from nmm.index.evaluation.mteb_adapter import MtebEncoder
    from nmm.index.mteb_wrapper import MtebEncoder as Former

    assert Former is MtebEncoder


# RapidOCR has no other way to load a single model.
PRIVATE_OF_LIBRARIES = {"engine._load_det_model"}
# Attributes of named tuples.
PUBLIC_UNDERSCORES = {"_asdict", "_fields", "_make", "_replace"}


def private_access(source: str) -> list[str]:
    """Return the private attributes that a module uses of objects which it does not define."""
    nodes = list(ast.walk(ast.parse(source)))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.id for node in nodes if isinstance(node, ast.Name)}
    found = []
    for node in nodes:
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_"):
            continue
        owner = ast.unparse(node.value)
        if owner in {"self", "cls"} and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        elif owner not in {"self", "cls", "super()"} and not node.attr.startswith("__"):
            found.append((owner, node.attr))
    known = own | PUBLIC_UNDERSCORES
    return sorted(f"{owner}.{name}" for owner, name in found if name not in known)


@pytest.mark.parametrize(
    "file", sorted((ROOT / "index").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT))
)
def test_no_module_uses_private_attributes_of_another(file: Path) -> None:
    assert {*private_access(file.read_text("utf-8"))} <= PRIVATE_OF_LIBRARIES


def test_private_access_would_be_found() -> None:
    source = "class A:\n    def f(self, b):\n        self._x = b._x\n        return b._y, b.c._z\n"
    assert private_access(source) == ["b._y", "b.c._z"]


def test_only_the_vector_index_knows_how_it_is_stored() -> None:
    """The rest of the engine opens it with the factory, and knows only the protocol."""
    vectors = "nmm.index.store.vectors"
    public = {vectors, f"{vectors}.base", f"{vectors}.factory"}
    wrong = [
        f"{module} imports {target}"
        for module, targets in structure().imports(ROOT).items()
        for target in targets
        if target.startswith(vectors) and target not in public and not module.startswith(vectors)
    ]
    assert wrong == []
