"""What a benchmark measured: samples with their spread, as JSON to keep and as a table made from that JSON.

`python benchmarks/report.py FILE ...` prints the tables of stored results.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity, sampled once per round. `unit` is for people."""

    name: str
    unit: str
    samples: Sequence[float]

    def to_dict(self) -> dict[str, Any]:
        """Median and quartiles beside the raw samples; one sample has no spread.

        Raises `StatisticsError` without samples.
        """
        low, high = None, None
        if len(self.samples) > 1:
            low, _, high = (_short(q) for q in statistics.quantiles(self.samples, n=4, method="inclusive"))
        return {
            "name": self.name,
            "unit": self.unit,
            "n": len(self.samples),
            "median": _short(statistics.median(self.samples)),
            "low": low,
            "high": high,
            "samples": [_short(sample) for sample in self.samples],
        }


def build_report(
    benchmark: str, subject: Mapping[str, Any], settings: Mapping[str, Any], series: Sequence[Series]
) -> dict[str, Any]:
    """The JSON of one run. `subject` is what was measured and on what, `settings` how."""
    here, load = machine(), subject["load_before"]
    notes = []
    if load is not None and load > here["cores"] / 2:
        notes.append(
            f"The machine was not idle when this began (load {load} on {here['cores']} cores): "
            "compare the numbers of this run with each other only."
        )
    return {
        "benchmark": benchmark,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": COMMIT,
        "subject": dict(subject),
        "machine": here,
        "settings": dict(settings),
        "series": [one.to_dict() for one in series],
        "notes": notes,
    }


def table(report: Mapping[str, Any]) -> str:
    """A report as Markdown."""
    subject, here = report["subject"], report["machine"]
    lines = [
        f"### {report['benchmark']}: {subject['model']}, {subject['dtype']} on {subject['device']}",
        "",
        f"{here['processor']}, {here['cores']} cores, threads used {subject['threads'] or 'its own'}, "
        f"torch {here['torch']}, load before {shown(subject['load_before'])}, "
        f"commit {shown(report['commit'])}, {report['created']}",
        "",
        "; ".join(f"{name.replace('_', ' ')} {shown(value)}" for name, value in report["settings"].items()),
        "",
        "| quantity | unit | median | quartiles | n |",
        "|---|---|---|---|---|",
    ]
    for row in report["series"]:
        spread = "–" if row["low"] is None else f"{shown(row['low'])} – {shown(row['high'])}"
        lines.append(f"| {row['name']} | {row['unit']} | {shown(row['median'])} | {spread} | {row['n']} |")
    lines += [f"\n{note}" for note in report["notes"]]
    return "\n".join(lines) + "\n"


def finish(report: Mapping[str, Any], path: Path | None) -> None:
    """Print the table, and store the JSON if `path` is given."""
    print(table(report))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"stored in {path}")


def machine() -> dict[str, Any]:
    """The computer and its software. What cannot be found out is `None`."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "last_level_cache_bytes": last_level_cache(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
    }


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """Programs that wanted a core, averaged over the last minute; `None` where the system does not tell."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def last_level_cache() -> int | None:
    """Bytes of the largest cache of the first core; `None` where the system does not tell."""
    sizes = [path.read_text(encoding="ascii").strip() for path in _CACHES.glob("index*/size")]
    return max((int(size[:-1]) * _UNITS[size[-1]] for size in sizes), default=None)


def commit() -> str | None:
    """The commit of the checkout, with `-dirty` if files differ, stored results apart; `None` outside a
    repository.
    """
    known = _git("describe", "--always", "--exclude=*", "--abbrev=10")
    if known is None:
        return None
    others = ("--", ":/", ":(top,exclude)benchmarks/results")
    changed = _git("status", "--porcelain", "--untracked-files=no", *others)
    return f"{known}-dirty" if changed else known


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


COMMIT = commit()
"""When the program began: somebody may go on with the checkout while it measures."""


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _short(value: float) -> float:
    """Six digits are more than any clock here is good for."""
    return float(f"{value:.6g}")


def shown(value: Any) -> str:
    """A cell of a table."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Print stored results."""
    parser = argparse.ArgumentParser(description="Print the tables of stored benchmark results.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON written by a benchmark")
    for path in parser.parse_args(argv).files:
        print(table(json.loads(path.read_text(encoding="utf-8"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
