"""GPUs by name: what their makers' data sheets say, and how much of it is assumed to be reached."""

from __future__ import annotations

from dataclasses import dataclass

from bb_core.errors import UsageError

COMPUTE_SHARE = 0.4  # of the peak, in large matrix products of a transformer; assumed
NARROW_SHARE = 0.1  # of the peak, in the rail's narrow ones; assumed
MEMORY_SHARE = 0.7  # of the bandwidth; assumed
DISK_BYTES_PER_S = 3e9  # a solid-state disk that holds cached states; assumed


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        name: as it is called on the command line.
        flops_per_s: peak of dense bfloat16 matrix products with float32 sums.
        memory_bytes: of the device.
        bytes_per_s: bandwidth of that memory.
    """

    name: str
    flops_per_s: float
    memory_bytes: float
    bytes_per_s: float


def _gpu(name: str, tera: float, memory_gb: float, bandwidth_gb: float) -> Gpu:
    return Gpu(name, tera * 1e12, memory_gb * 1e9, bandwidth_gb * 1e9)


# Dense rates, without structured sparsity; sources: the makers' data sheets.
_TABLE = (
    _gpu("a10g", 70, 24, 600),
    _gpu("a100-40gb", 312, 40, 1555),
    _gpu("a100", 312, 80, 2039),
    _gpu("l4", 121, 24, 300),
    _gpu("l40s", 362, 48, 864),
    _gpu("rtx4090", 165, 24, 1008),
    _gpu("h100-pcie", 756, 80, 2000),
    _gpu("h100", 989, 80, 3350),
    _gpu("h200", 989, 141, 4800),
    _gpu("b200", 2250, 180, 8000),
    _gpu("mi300x", 1307, 192, 5300),
)
GPUS = {gpu.name: gpu for gpu in _TABLE}


def find_gpu(name: str) -> Gpu:
    """The GPU of a name.

    Raises:
        UsageError: there is none of that name.
    """
    if name.lower() not in GPUS:
        raise UsageError(f"no GPU {name!r}", where="--gpu", fix=f"use {', '.join(GPUS)}")
    return GPUS[name.lower()]
