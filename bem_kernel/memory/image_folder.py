"""Memory as a folder of arrays: what people and other programs put into images and take out.

A folder holds `machine.json` and arrays named `SEGMENT.NAME.npy`. The record is an object with the
key "config", the sizes, and optionally "regions", a list of `{"segment", "name", "protected"}` in
order of allocation; arrays that it does not list follow in order of their file names.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bb_core.canonical import canonical_json
from bb_core.files import directory_atomic, read_json
from bem_kernel.errors import ImageError
from bem_kernel.memory.configuration import config_from_record, config_record
from bem_kernel.memory.memory import Memory
from bem_kernel.memory.segments import Segment

RECORD = "machine.json"
_SUFFIX = ".npy"


def save_folder(memory: Memory, path: str | Path) -> None:
    """Write a memory as a folder, all or nothing; what was there goes.

    Raises:
        BBError: the folder cannot be written.
    """
    regions = [
        {"segment": entry.segment.name, "name": entry.name, "protected": entry.protected}
        for entry in memory.directory()
    ]
    with directory_atomic(path) as folder:
        record = {"config": config_record(memory.config), "regions": regions}
        (folder.joinpath(RECORD)).write_bytes(canonical_json(record) + b"\n")
        for entry in memory.directory():
            buffer = io.BytesIO()
            np.save(buffer, memory.region(entry.segment, entry.name), allow_pickle=False)
            folder.joinpath(_file_name(entry.segment, entry.name)).write_bytes(buffer.getvalue())


def load_folder(path: str | Path) -> Memory:
    """The memory that a folder describes; regions without an array are zero.

    Raises:
        ImageError: the record or an array is not what it must be.
        SegmentError: the sizes do not hold together, or a segment is too small.
        BBError: the record cannot be read.
    """
    folder = Path(path)
    where = str(folder.joinpath(RECORD))
    record = read_json(folder.joinpath(RECORD))
    if not isinstance(record, dict) or not {"config"} <= set(record) <= {"config", "regions"}:
        raise ImageError("no machine's record", where=where, fix='write {"config": {…}}')
    memory = Memory(config_from_record(record["config"], where))
    arrays = {file.name: file for file in sorted(folder.glob(f"*{_SUFFIX}"))}
    for segment, name, protected in _listed(record.get("regions", []), where):
        file = arrays.pop(_file_name(segment, name), None)
        if memory.has(segment, name):
            if file is not None:
                _fill(memory.region(segment, name), _read_array(file), file)
        elif file is None:
            raise ImageError(
                f"lists {segment.name}.{name} without an array",
                where=where,
                fix=f"add {_file_name(segment, name)} or take the entry out",
            )
        else:
            _add(memory, segment, name, file, protected)
    for file in arrays.values():
        segment, name = _place_of(file)
        if memory.has(segment, name):
            _fill(memory.region(segment, name), _read_array(file), file)
        else:
            _add(memory, segment, name, file, protected=False)
    return memory


def _listed(entries: Any, where: str) -> list[tuple[Segment, str, bool]]:
    """The regions that a record lists."""
    if not isinstance(entries, list):
        raise ImageError("regions is no list", where=where, fix="write [] or leave it out")
    return [_region_of(entry, where) for entry in entries]


def _region_of(entry: Any, where: str) -> tuple[Segment, str, bool]:
    if isinstance(entry, dict) and set(entry) == {"segment", "name", "protected"}:
        segment, name, protected = entry["segment"], entry["name"], entry["protected"]
        known = isinstance(segment, str) and segment in Segment.__members__
        if known and isinstance(name, str) and isinstance(protected, bool):
            return Segment[segment], name, protected
    raise ImageError(
        f"{str(entry)[:60]} is no region",
        where=where,
        fix='write {"segment": "SHARED", "name": "x", "protected": false}',
    )


def _file_name(segment: Segment, name: str) -> str:
    return f"{segment.name}.{name}{_SUFFIX}"


def _place_of(file: Path) -> tuple[Segment, str]:
    segment, _, name = file.name.removesuffix(_SUFFIX).partition(".")
    if segment not in Segment.__members__ or not name:
        raise ImageError(
            "names no segment and region", where=str(file), fix="name it SEGMENT.NAME.npy"
        )
    return Segment[segment], name


def _add(memory: Memory, segment: Segment, name: str, file: Path, protected: bool) -> None:
    array = _read_array(file)
    native = array.dtype.newbyteorder("=")
    _fill(memory.allocate(segment, name, native, array.shape, protected=protected), array, file)


def _fill(region: NDArray[Any], array: NDArray[Any], file: Path) -> None:
    if array.shape != region.shape or not np.can_cast(array.dtype, region.dtype, "safe"):
        raise ImageError(
            f"is {array.dtype} of shape {array.shape}",
            where=str(file),
            fix=f"give {region.dtype} of shape {region.shape}",
        )
    region[...] = array


def _read_array(file: Path) -> NDArray[Any]:
    """An array without unpickling anything, mapped so that a false size is found out."""
    fault = ImageError("is no array of numbers", where=str(file), fix="write it with numpy.save")
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise fault from error
    if not isinstance(found, np.ndarray):  # an archive of several
        found.close()
        raise fault
    return found
