"""Kernels: functions that numba compiles, integers only, each with a declared signature.

Every compiled function of the package is made by `kernel`, so one test can compile all of them
and look for floating point in their signatures and their code. A kernel compiles at its first
call; the machine code is kept on disk beside the module, or in numba's cache folder where that is
not writable.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import sigutils
from numba.core import typing as numba_typing
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher

PACKAGE = Path(__file__).parent
_IMPORT = re.compile(
    rb"^\s*(?:from|import)\s+(bem_kernel[\w.]*)(?:\s+import\s+(\([^)]*\)|.*))?", re.M
)


@cache
def fingerprint(file: Path) -> str:
    """SHA-256 over a source file and all files of this package that it imports, however far off.

    Machine code depends on them all: kernels are pasted into kernels, and what numba finds in a
    module's globals, such as tables and constants, is baked in.
    """
    seen: set[Path] = set()
    waiting = [file]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting.extend(_imported(path))
    digest = hashlib.sha256()
    for path in sorted(seen):
        digest.update(path.as_posix().encode() + b"\0" + hashlib.sha256(_source(path)).digest())
    return digest.hexdigest()


@cache
def _source(path: Path) -> bytes:
    return path.read_bytes()


@cache
def _imported(path: Path) -> frozenset[Path]:
    """The files of this package that a file imports; a name may be a module's or a submodule."""
    found: set[Path] = set()
    for match in _IMPORT.finditer(_source(path)):
        module = match.group(1).decode().split(".")[1:]
        names = re.findall(r"[A-Za-z_]\w*", (match.group(2) or b"").decode())
        for parts in (module, *([*module, name] for name in names)):
            place = PACKAGE.joinpath(*parts)
            candidates = (place.with_suffix(".py"), place.joinpath("__init__.py"))
            found.update(candidate for candidate in candidates if candidate.is_file())
    return frozenset(found)


class _PackageCache(FunctionCache):
    """Machine code on disk, keyed by the sources it was made from.

    numba keys a function by its own file alone, so a changed callee in another file would leave
    the caller's old code in use.
    """

    def __init__(self, function: Any) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        # At import, not at compilation: a file edited in between is not what will be compiled.
        self._fingerprint = fingerprint(Path(function.__code__.co_filename))

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (super()._index_key(sig, codegen), self._fingerprint)  # type: ignore[no-untyped-call]


_normalize: Any = sigutils.normalize_signature
_make_signature: Any = numba_typing.signature  # type: ignore[attr-defined]


class _DeclaredDispatcher(CPUDispatcher):
    """A dispatcher that compiles its declared signature and no other.

    numba would make one more specialisation, of a second or so, for each new type of argument: a
    read-only array, a strided one. Here such a call is refused, and what the test of integers
    looks at is all there is.
    """

    declared = ""
    typingctx: Any
    overloads: Any

    def compile(self, sig: Any) -> Any:
        """Compile the declared signature, at the first call.

        Raises:
            TypeError: `sig`, the types of the call, cannot be converted to the declared ones.
        """
        given, _ = _normalize(sig)
        args, result = _normalize(self.declared)
        convertible = self.typingctx.can_convert
        fits = len(given) == len(args) and all(
            convertible(one, other) is not None for one, other in zip(given, args, strict=True)
        )
        if not fits:
            raise TypeError(
                f"{self.py_func.__module__}.{self.py_func.__qualname__}: arguments "
                f"({', '.join(map(str, given))}) do not fit the declared {self.declared}; "
                "give writable, C-contiguous arrays of these types"
            )
        with global_compiler_lock:
            if tuple(args) not in self.overloads:
                super().compile(_make_signature(result, *args))
                self.disable_compile()
            return self.overloads[tuple(args)].entry_point


KERNELS: list[Kernel] = []
"""Every kernel of the modules imported so far, in order of definition."""


class Kernel:
    """What `kernel` has noted about one function.

    Attributes:
        name: dotted name of the function.
        signature: its declared types, in numba's notation.
        function: the numba dispatcher, called like the function.
        reports: True for statistics made for people, where floating point is allowed.
    """

    def __init__(self, name: str, signature: str, function: Any, reports: bool) -> None:
        self.name = name
        self.signature = signature
        self.function = function
        self.reports = reports


def kernel(
    signature: str, *, allocates: bool = False, reports: bool = False, inline: bool = False
) -> Callable[[Any], Any]:
    """Compile the decorated function at its first call; it runs without the interpreter's lock.

    Args:
        signature: result and argument types in numba's notation, such as
            `"int64(uint64[:, ::1], int64)"`; nothing else is ever compiled. Integers of a call
            convert to the declared ones; a negative one for an unsigned one is an OverflowError.
            Arrays must be as declared, and writable.
        allocates: the function makes arrays. Others only borrow those of their caller, who holds
            them while they run, and are compiled without numba's atomic reference counts: a
            kernel that hands a dozen arrays down several calls is three times as fast for it.
            numba refuses to compile a function that makes arrays and does not say so.
        reports: the function makes statistics for people and may use floating point.
        inline: paste the function into the kernels that call it.

    Returns:
        The numba dispatcher; other kernels may call it.
    """

    def compile_later(function: Any) -> Any:
        pasted: Any = "always" if inline else "never"
        options = {"nopython": True, "boundscheck": None, "nogil": True, "inline": pasted}
        options["_nrt"] = allocates
        dispatcher: Any = _DeclaredDispatcher(function, {}, options)
        dispatcher.declared = signature
        with contextlib.suppress(RuntimeError):  # no folder to write to: compile in each process
            dispatcher._cache = _PackageCache(function)
        name = f"{function.__module__}.{function.__qualname__}"
        KERNELS.append(Kernel(name, signature, dispatcher, reports))
        return dispatcher

    return compile_later


@cache
def _see_an_array() -> None:
    """Let numba import the parts of numpy that it wants at the first array it is given."""
    numba.typeof(np.empty(0, dtype=np.int64))  # type: ignore[no-untyped-call]


def load(function: Any) -> None:
    """Compile a kernel, or load its code from disk, before its first call is timed."""
    if not function.overloads:
        function.compile(function.declared)
        _see_an_array()
