"""Kernels: functions that numba compiles, integers only, each with a declared signature.

Every compiled function of the package is made by `kernel`, so one test can compile all of them
and look for floating point in their signatures and their code. A kernel compiles at its first
call; the machine code is kept on disk beside the module, or in numba's cache folder where that is
not writable.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

PACKAGE = Path(__file__).parent


@cache
def package_fingerprint() -> str:
    """SHA-256 over the sources of the package that hold kernels, by name."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_bytes()
        if b"@kernel" in source:
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(source).digest())
    return digest.hexdigest()


class _PackageCache(FunctionCache):
    """Machine code on disk, keyed by all kernels' sources.

    numba keys a function by its own file alone, so a changed callee in another file would leave
    the caller's old code in use.
    """

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (super()._index_key(sig, codegen), package_fingerprint())  # type: ignore[no-untyped-call]


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


def kernel(signature: str, *, reports: bool = False, inline: bool = False) -> Callable[[Any], Any]:
    """Compile the decorated function at its first call, without the interpreter's lock.

    Args:
        signature: result and argument types in numba's notation, such as
            `"int64(uint64[:, ::1], int64)"`; what the test of integers compiles.
        reports: the function makes statistics for people and may use floating point.
        inline: paste the function into the kernels that call it.

    Returns:
        The numba dispatcher; other kernels may call it.
    """

    def compile_later(function: Any) -> Any:
        pasted: Any = "always" if inline else "never"
        dispatcher: Any = njit(nogil=True, inline=pasted)(function)
        with contextlib.suppress(RuntimeError):  # no folder to write to: compile in each process
            dispatcher._cache = _PackageCache(function)  # type: ignore[no-untyped-call]
        name = f"{function.__module__}.{function.__qualname__}"
        KERNELS.append(Kernel(name, signature, dispatcher, reports))
        return dispatcher

    return compile_later
