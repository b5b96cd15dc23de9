"""How much memory this machine can still give to a model."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def free_host_memory() -> int | None:
    """Bytes: what the system says is available, bounded by the container's limit; `None` if unknown."""
    bounds = [limit for limit in (_system_free(), _container_free(_CGROUP)) if limit is not None]
    return min(bounds, default=None)


def _system_free() -> int | None:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
    if "SC_AVPHYS_PAGES" in names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if "SC_PHYS_PAGES" in names:  # macOS reports only what is installed
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _container_free(root: Path) -> int | None:
    """Room below the memory limit of a version 2 control group, not counting its page cache."""
    limit, used, stat = (root / name for name in ("memory.max", "memory.current", "memory.stat"))
    if not (limit.exists() and used.exists() and stat.exists()):
        return None
    text = limit.read_text(encoding="ascii").strip()
    if text == "max":
        return None
    entries = dict(line.split() for line in stat.read_text(encoding="ascii").splitlines())
    reclaimable = int(entries.get("inactive_file", 0)) + int(entries.get("active_file", 0))
    return max(0, int(text) - int(used.read_text(encoding="ascii")) + reclaimable)
