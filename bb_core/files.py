"""Files that are either fully there or not there, and readers whose errors name the place.

A file is written beside its final place, flushed to disk, and renamed over it; a directory is
built beside its place and exchanged with it in one step. After `kill -9` at any moment the old
content or the new content is there, never a mixture.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from bb_core.errors import BBError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """Write a whole file, or leave what was there.

    Missing parent folders are made. Text is written as UTF-8. An existing file keeps its mode.

    Args:
        path: the file to make or replace.
        data: its whole content.

    Raises:
        BBError: the disk is full or the place cannot be written; the old content is untouched.
    """
    target = Path(path)
    payload = data.encode("utf-8") if isinstance(data, str) else data
    temporary: str | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode_of(target)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, target)
        temporary = None
        sync_directory(target.parent)
    except OSError as error:
        _cannot_write(target, error)
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


@contextlib.contextmanager
def directory_atomic(path: str | Path) -> Iterator[Path]:
    """Build a directory beside its place and put it there when the block ends well.

    On any exception the half-built directory is removed and what was there stays.

    Args:
        path: the directory to make or replace as a whole.

    Yields:
        An empty directory on the same file system, to be filled.

    Raises:
        BBError: the place cannot be written, or is a file.
    """
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise BBError("is a file, not a directory", where=str(target), fix="choose another place")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        building.chmod(0o777 & ~_umask())
    except OSError as error:
        _cannot_write(target, error)
    try:
        yield building
        _sync_tree(building)
        _swap_in(building, target)
        sync_directory(target.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
            _cannot_write(target, error)
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def sync_directory(path: Path) -> None:
    """Flush a directory's entries, so that a rename inside it survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_bytes(path: str | Path) -> bytes:
    """Return a file's bytes.

    Raises:
        BBError: the file is missing, a directory, or cannot be read.
    """
    where = str(path)
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise BBError("file does not exist", where=where, fix="check the path") from error
    except IsADirectoryError as error:
        raise BBError("is a directory, not a file", where=where, fix="name a file") from error
    except OSError as error:
        raise BBError(f"cannot be read: {error.strerror}", where=where) from error


def read_text(path: str | Path) -> str:
    """Return a file's text, UTF-8, line ends as they are.

    Raises:
        BBError: the file cannot be read or is not UTF-8.
    """
    data = read_bytes(path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise BBError(
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            where=f"{path}:{line}:{column}",
            fix="save the file as UTF-8",
        ) from error


def read_json(path: str | Path) -> Any:
    """Return the JSON value in a file.

    Raises:
        BBError: the file cannot be read or is not JSON; names line and column.
    """
    return decode_json(read_text(path), where=str(path))


def decode_json(text: str, *, where: str) -> Any:
    """Return the JSON value in `text`; NaN and infinities are refused.

    Raises:
        BBError: the text is not JSON; names `where`, line and column.
    """

    def refuse(name: str) -> NoReturn:
        raise BBError(f"{name} is not JSON", where=where, fix="write a finite number or null")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        place = f"{where}:{error.lineno}:{error.colno}"
        raise BBError(f"not JSON: {error.msg}", where=place, fix="mend it there") from error
    except RecursionError as error:
        raise BBError("nested too deeply", where=where, fix="flatten it") from error
    except ValueError as error:  # an integer with more digits than Python converts
        raise BBError(f"not JSON: {error}", where=where, fix="write a smaller number") from error


def read_yaml(path: str | Path) -> Any:
    """Return the YAML value in a file, plain data only.

    Raises:
        BBError: the file cannot be read or is not plain YAML; names line and column.
    """
    return decode_yaml(read_text(path), where=str(path))


def decode_yaml(text: str, *, where: str) -> Any:
    """Return the YAML value in `text`, plain data only.

    Raises:
        BBError: the text is not plain YAML; names `where`, line and column.
    """
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        return yaml.load(text, Loader=loader)  # noqa: S506  a safe loader either way
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        what = f"not YAML: {error.problem or error.context}"
        raise BBError(what, where=place, fix="mend it there") from error
    except yaml.reader.ReaderError as error:
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        place = f"{where}:{text.count(chr(10), 0, found.start()) + 1}" if found else where
        what = f"not YAML: {error.reason}"
        raise BBError(what, where=place, fix="save it as plain text") from error
    except RecursionError as error:
        raise BBError("nested too deeply", where=where, fix="flatten it") from error
    except ValueError as error:  # for instance the timestamp 2024-13-45
        raise BBError(f"not YAML: {error}", where=where, fix="put it in quotes") from error


def _cannot_write(target: Path, error: OSError) -> NoReturn:
    """Raise the one message for every failed write."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    fix = "free some space" if full else "check the folder and its permissions"
    what = f"cannot be written: {error.strerror}"
    raise BBError(what, where=str(target), fix=fix) from error


def _mode_of(target: Path) -> int:
    """Return the mode of an existing file, or what the umask gives a new one."""
    try:
        return target.stat().st_mode & 0o7777
    except FileNotFoundError:
        return 0o666 & ~_umask()


def _umask() -> int:
    """Return the process's umask; reading it means setting it for an instant."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_tree(root: Path) -> None:
    """Flush every file and folder below `root` to disk."""
    for folder, _, names in os.walk(root):
        for name in names:
            file = Path(folder, name)
            if file.is_symlink():
                continue
            handle = os.open(file, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_directory(Path(folder))


def _swap_in(building: Path, target: Path) -> None:
    """Put `building` at `target`; afterwards `building` holds what was there, if anything."""
    if not target.exists():
        os.rename(building, target)
    elif not _exchange(building, target):
        # No atomic exchange here: a crash between the two lines leaves the old tree aside.
        aside = building.with_name(building.name + ".old")
        os.rename(target, aside)
        os.rename(building, target)
        os.rename(aside, building)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two paths in one step, or return False where the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(first), os.fsencode(second)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(code, os.strerror(code), str(second))
