"""What was measured, round by round, and its table. Owns the medians and the ratios to the targets."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import plot

_PACKAGES = ("Twisted", "httptools", "msgspec", "isal", "zlib-ng", "zstandard", "google-crc32c", "lf6gateway")
_PROGRAMS = {"wrk": ["wrk", "-v"], "nginx": ["nginx", "-v"], "pigz": ["pigz", "--version"]}


def machine() -> dict[str, str]:
    """Where it was measured, and with what."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    found = {
        "processor": f"{model}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "load at the start": f"{os.getloadavg()[0]:.2f}",
    }
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    for name, command in _PROGRAMS.items():
        if shutil.which(name) is None:
            found[name] = "not installed"
        else:
            done = subprocess.run(command, capture_output=True, text=True)
            found[name] = (done.stdout + done.stderr).splitlines()[0].strip()
    return found


def _number(value: float) -> str:
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


@dataclass
class Results:
    """Figures by case, row, candidate and name; each a list with a value a round."""

    found: dict[str, dict[str, dict[str, dict[str, list[float]]]]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    targets: list[tuple[str, float, float, str]] = field(default_factory=list)

    def add(self, case: str, row: str, candidate: str, **figures: float) -> None:
        """What one round of one candidate came to."""
        place = self.found.setdefault(case, {}).setdefault(row, {}).setdefault(candidate, {})
        for name, value in figures.items():
            place.setdefault(name, []).append(value)
        told = "  ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in figures.items())
        print(f"  {row:28} {candidate:26} {told}", flush=True)

    def skip(self, what: str, why: str) -> None:
        """Something was not measured."""
        self.skipped.append(f"{what}: {why}")
        print(f"  left out: {what}: {why}", flush=True)

    def median(self, case: str, row: str, candidate: str, name: str) -> float | None:
        """The median over the rounds, if it was measured."""
        values = self.found.get(case, {}).get(row, {}).get(candidate, {}).get(name)
        return statistics.median(values) if values else None

    def target(self, text: str, value: float | None, least: float, *, at_most: bool = False) -> None:
        """A ratio that is to be reached; ``None``: it was not measured."""
        if value is not None:
            self.targets.append((text, value, least, "≤" if at_most else "≥"))

    def markdown(self, about: dict[str, str]) -> str:
        """The whole as a page."""
        lines = ["# Measured", "", "| | |", "| --- | --- |"]
        lines += [f"| {name} | {value} |" for name, value in about.items()]
        lines += [
            "",
            "Medians over the rounds, which alternate between the candidates; the least and the greatest in",
            "brackets. Percentiles are those of a closed loop (wrk), not corrected for coordinated omission.",
            "",
        ]
        if self.targets:
            lines += ["## Targets", "", "| target | wanted | found | |", "| --- | ---: | ---: | --- |"]
            for text, value, least, sign in self.targets:
                met = value <= least if sign == "≤" else value >= least
                lines.append(f"| {text} | {sign} {least:g} | {value:.2f} | {'met' if met else 'not met'} |")
            lines.append("")
        for case, rows in self.found.items():
            names = list(dict.fromkeys(name for row in rows.values() for one in row.values() for name in one))
            lines += [f"## {case}", "", f"![{case}]({_slug(case)}.svg)", ""]
            lines.append("| | candidate | " + " | ".join(name.replace("_", " ") for name in names) + " |")
            lines.append("| --- | --- |" + " ---: |" * len(names))
            for row, candidates in rows.items():
                for candidate, figures in candidates.items():
                    cells = []
                    for name in names:
                        values = figures.get(name)
                        if not values:
                            cells.append("")
                        elif len(values) == 1:
                            cells.append(_number(values[0]))
                        else:
                            spread = f"{_number(min(values))}–{_number(max(values))}"
                            cells.append(f"{_number(statistics.median(values))} ({spread})")
                    lines.append(f"| {row} | {candidate} | " + " | ".join(cells) + " |")
            lines.append("")
        if self.skipped:
            lines += ["## Left out", "", *(f"- {one}" for one in self.skipped), ""]
        return "\n".join(lines)

    def write(self, folder: Path, about: dict[str, str]) -> None:
        """The table, the figures of each round, and a plot for each case."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.md").write_text(self.markdown(about))
        everything: dict[str, Any] = {"machine": about, "found": self.found, "skipped": self.skipped}
        everything["targets"] = self.targets
        (folder / "results.json").write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")
        for case, rows in self.found.items():
            name = next(iter(next(iter(next(iter(rows.values())).values()))))
            bars = {
                row: {one: statistics.median(figures[name]) for one, figures in candidates.items() if name in figures}
                for row, candidates in rows.items()
            }
            (folder / f"{_slug(case)}.svg").write_text(plot.bars(case, name.replace("_", " "), bars))


def _slug(case: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in case.lower()).strip("-")
