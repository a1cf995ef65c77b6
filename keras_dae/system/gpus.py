"""Find NVIDIA GPUs without importing a backend."""

import os
import subprocess
from dataclasses import dataclass

QUERY = "--query-gpu=index,uuid,memory.free"
QUERY_SECONDS = 20


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        name: its name in CUDA_VISIBLE_DEVICES: an index or a UUID.
        free: free memory in MiB.
    """

    name: str
    free: int


def find_gpus() -> list[Gpu]:
    """Return the GPUs that this process may use; empty if nvidia-smi finds none.

    They are in the order of CUDA_VISIBLE_DEVICES, if it is set.
    """
    try:
        done = subprocess.run(
            ["nvidia-smi", QUERY, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=QUERY_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    if done.returncode:
        return []
    found: dict[str, Gpu] = {}
    for line in done.stdout.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[2].isdecimal():
            index, uuid, free = parts
            found |= {name: Gpu(name, int(free)) for name in (index, uuid)}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [gpu for name, gpu in found.items() if name.isdecimal()]
    names = [name.strip() for name in visible.split(",")]
    return [found[name] for name in names if name in found]
