"""Ways around the number: modules that talk or start something, code from text, frames, processes, files. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from autoresearch_git.research.rules.candidate import Broken, Candidate
from autoresearch_git.research.rules.source import Source, arguments_of, name_of

_NOT_IMPORTED = (  # they talk, start, unpickle, look behind the curtain or outlive what the clock measures
    "socket", "socketserver", "ssl", "urllib", "http", "httpx", "requests", "aiohttp", "ftplib", "smtplib", "xmlrpc",
    "subprocess", "multiprocessing", "torch.multiprocessing", "threading", "_thread", "concurrent.futures", "signal", "atexit",
    "ctypes", "cffi", "importlib", "imp", "runpy", "builtins", "code", "codeop", "types.FunctionType", "types.CodeType",
    "pickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "inspect", "dis", "pdb", "bdb", "unittest.mock", "mock",
)  # fmt: skip
_FRAMES = frozenset((
    "_getframe", "_current_frames", "f_back", "f_globals", "f_locals", "f_builtins", "tb_frame", "gi_frame", "cr_frame",
    "__globals__", "__code__", "__closure__", "__builtins__", "__subclasses__", "__defaults__", "__kwdefaults__",
    "get_objects", "get_referrers", "get_referents", "settrace", "setprofile",
))  # fmt: skip
_PROCESS = re.compile(r"os\.(system|popen|exec\w+|(posix_)?spawn\w+|fork\w*|kill|killpg|putenv|unsetenv|dup2?|open|fdopen|write)$")
_WEIGHTS = re.compile(r"torch\.(load|hub\..+|jit\.load)$")
_HARMLESS_VARIABLE = re.compile(r"PYTORCH|TORCH|TRITON|CUDA|CUDNN|CUBLAS|NCCL|NVIDIA|HF_|HIP|HSA|ROCM|MIOPEN|OMP_|MKL|TOKENIZERS_")
_CONTRACT = re.compile(r"AUTORESEARCH_(RESULT|SEED|BUDGET|STEPS|PACE|SESSION)")


def imports(file: Candidate) -> Iterator[Broken]:
    for _, path, statement in file.source.imports:
        for module in _NOT_IMPORTED:
            if path == module or path.startswith(f"{module}."):
                yield statement, module, f"it imports {module}"
        if file.harness.holds(path) and path.split(".")[-1] in _NOT_IMPORTED:
            yield statement, path, f"it takes {path.split('.')[-1]} from the harness"


def code(file: Candidate) -> Iterator[Broken]:
    """No code is made from text."""
    own = {*file.source.imported, *(name for name, _ in file.source.bound)}
    for node in file.source.each(ast.Name):
        if node.id in ("exec", "eval", "compile", "__import__") and node.id not in own:
            yield node, node.id, f"it uses {node.id}, which makes code of text"


def frames(file: Candidate) -> Iterator[Broken]:
    """Nothing looks at who calls, or into functions."""
    named: list[tuple[str, ast.AST]] = [(node.attr, node) for node in file.source.each(ast.Attribute)]
    named += [(node.id, node) for node in file.source.each(ast.Name)]
    named += file.source.texts
    for name, node in named:
        if name in _FRAMES:
            yield node, name, f"it uses {name}, which looks behind what runs"


def process(file: Candidate) -> Iterator[Broken]:
    """No processes, no file descriptors, no variables that others read."""
    for path, used in file.source.references:
        if _PROCESS.match(path):
            yield used, path, f"it uses {path}"
    for node, keys in _variables(file.source):
        known = [file.source.strings(key) for key in keys]
        if not keys or any(names is None or not all(_HARMLESS_VARIABLE.match(n) for n in names) for names in known):
            said = ", ".join(sorted({n for names in known for n in names or ()})) or "that cannot be told"
            yield node, said, f"it sets an environment variable: {said}"


def _variables(source: Source) -> Iterator[tuple[ast.AST, list[ast.expr]]]:
    for node in source.each(ast.Subscript):
        if not isinstance(node.ctx, ast.Load) and source.path(node.value) == "os.environ":
            yield node, [node.slice]
    for path, call in source.calls:
        if path in ("os.environ.setdefault", "os.environ.pop", "os.environ.__setitem__", "os.environ.__delitem__"):
            yield call, call.args[:1]
        elif path in ("os.environ.update", "os.environ.clear", "os.environ.popitem", "os.environ.__ior__"):
            given: list[ast.expr] = [ast.Constant(k.arg or "?") for k in call.keywords]
            for mapping in call.args:
                given += [key or mapping for key in mapping.keys] if isinstance(mapping, ast.Dict) else [mapping]
            yield call, given


def files(file: Candidate) -> Iterator[Broken]:
    """No file is opened for writing, and no weights are read that another run wrote."""
    for path, call in file.source.calls:
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        opened = name_of(call) == "open"
        modes = [a.value for a in arguments_of(call) if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if opened and any(re.fullmatch(r"[rbt]*[wax+][wax+bt]*", mode) for mode in modes):
            yield call, ast.dump(call), "it opens a file for writing"
        elif method in ("write_text", "write_bytes"):
            yield call, ast.dump(call), "it writes a file"
        elif _WEIGHTS.match(path):
            yield call, path, f"it uses {path}: weights must come from this run alone"


def contract(file: Candidate) -> Iterator[Broken]:
    """What the harness alone is told, and tells."""
    for text, node in file.source.texts:
        for name in _CONTRACT.findall(text):
            yield node, name, f"it speaks of AUTORESEARCH_{name}, which only the harness reads"
