"""From raw figures to tables, and tables into the documentation."""

import os
import statistics

from .base import TOP, Failure

DOCS = os.path.join(TOP, "docs", "benchmarks.md")
README = os.path.join(TOP, "README.md")
FIGURES = os.path.join(TOP, "docs", "figures")


def values(runs, key):
    return [r[key] for r in runs if r.get(key) is not None]


def median(runs, key):
    found = values(runs, key)
    return statistics.median(found) if found else None


def spread(runs, key):
    found = values(runs, key)
    return f"{min(found):.2f}-{max(found):.2f}" if found else "-"


def figure(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def ratio(a, b):
    return None if a is None or b is None or b <= 0 else a / b


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


class Bar:
    """A figure that is to be reached: `value` at most `most`. Without a value it was not
    measured."""

    def __init__(self, what, value, most, unit="x", runs=None):
        self.what, self.value, self.most, self.unit, self.runs = what, value, most, unit, runs

    def row(self):
        if self.value is None:
            return [self.what, "not measured", f"{self.most:g} {self.unit}", "-", "-"]
        return [self.what, f"{self.value:.2f} {self.unit}", f"{self.most:g} {self.unit}",
                "-" if self.runs is None else str(self.runs),
                "met" if self.value <= self.most else "**not met**"]


def bars_table(bars):
    return table(["bar", "measured", "at most", "runs", ""], [b.row() for b in bars])


def provenance(data):
    """The line that says where and when the figures of a section were made."""
    d = data["machine"]
    quick = " A `--quick` run: it shows that the section works, no more." if data["quick"] else ""
    return (f"{d['cpus']} x {d['cpu']}, {d['memory_mib'] // 1024} GiB, Linux {d['kernel']}, "
            f"{d['system']}, {d['slurm']}, pbcast {d['commit']}, {d['date']}, "
            f"{data['seconds']:.0f} s. Load average before {data['load'][0][0]}, after "
            f"{data['load'][-1][0]}.{quick}")


def put(name, text, page=DOCS):
    """Put a text between its markers in a page of the documentation."""
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    with open(page) as f:
        old = f.read()
    before, mark, rest = old.partition(begin)
    _, mark2, after = rest.partition(end)
    if not mark or not mark2:
        raise Failure(f"{page} has no {begin} ... {end}")
    with open(page + ".new", "w") as f:
        f.write(f"{before}{begin}\n{text}\n{end}{after}")
    os.replace(page + ".new", page)


def put_figure(name, svg):
    os.makedirs(FIGURES, exist_ok=True)
    with open(os.path.join(FIGURES, name + ".svg"), "w") as f:
        f.write(svg)


def image(name, alt):
    return f"![{alt}](figures/{name}.svg)"
