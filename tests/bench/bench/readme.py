"""The few figures of the README, from those of the sections."""

from . import link, report, staging
from .cluster import shape_name, shape_of
from .report import figure, median

ROWS = [("pbcast", "`pbcast-stage`", "gz", "zst"),
        ("pbcast", "`pbcast-stage`, a bundle of frames as `pbcast bundle` makes it", None, "frames"),
        ("sbcast+tar", "`sbcast`, then `tar`", "gz", "zst"),
        ("paper", "MPI_Bcast, then libarchive (the paper's method)", "gz", "zst")]


def cells(found, kind, fmt):
    if fmt is None:
        return ["", ""]
    runs = found.get(f"{kind} {fmt}", [])
    return [figure(median(runs, "wall")), figure(median(runs, "cpu"), 1)]


def walls(what, runs, names, digits):
    """Their wall times in words; None if one was not measured."""
    times = [median(runs.get(name, []), "wall") for name, _ in names]
    if None in times:
        return None
    return what + ", ".join(f"{word} {figure(t, digits)} s" for (_, word), t in zip(names, times)) + "."


def relay(of_link):
    """The most nodes on the fastest links, through each shape that keeps the links' rate."""
    points = [p for p in link.even(of_link) if p.get("tree") in (None, "two")]
    top = max(((p["rate"], p["nodes"]) for p in points), default=None)
    points = [p for p in points if (p["rate"], p["nodes"]) == top]
    if not points:
        return None
    times = ", ".join(f"{shape_name(shape_of(p['runs'][0]))} {figure(median(p['runs'], 'seconds'), 2)} s"
                      for p in points)
    return (f"{points[0]['mb']} MB that cannot be compressed to {top[1]} nodes on links of {top[0]} "
            f"Mbit/s: {times}; one link alone takes {figure(points[0]['runs'][0]['floor'], 2)} s.")


def present(of_staging, of_unpack, of_link):
    points = staging.merged(of_staging)
    found = points.get(("off", 8), {})
    archives = of_staging["archives"]
    count = max((len(runs) for runs in found.values()), default=0)
    machine = of_staging["machine"]
    text = [f"8 nodes in namespaces of one machine with {machine['cpus']} processors, Python with "
            f"NumPy, SciPy and mpi4py ({of_staging['files']} files, {of_staging['bytes'] / 1e6:.0f} "
            f"MB; {archives['gz'] / 1e6:.0f} MB as .tar.gz, {archives['zst'] / 1e6:.0f} MB as "
            f".tar.zst), medians of {count} alternating runs:", "",
            report.table(["", ".tar.gz: wall s", "CPU s, all nodes", ".tar.zst: wall s",
                          "CPU s, all nodes"],
                         [[words, *cells(found, kind, a), *cells(found, kind, b)]
                          for kind, words, a, b in ROWS])]
    more = [walls("On links of 400 Mbit/s, .tar.gz: ", points.get(("400mbit", 8), {}),
                  [("pbcast gz", "`pbcast-stage`"), ("sbcast+tar gz", "`sbcast` and `tar`"),
                   ("paper gz", "the paper's method")], 1),
            of_unpack and walls(
                f"On one node with all processors, {of_unpack['bytes'] / 1e6:.0f} MB in "
                f"{of_unpack['files']} files: ", of_unpack["runs"],
                [("pbcast frames", "frames"), ("tar --zstd -xf", "`tar --zstd`"),
                 ("tar -xzf", "`tar -xzf`")], 2),
            of_link and relay(of_link)]
    more = [words for words in more if words]
    return "\n".join(text + ([""] + more if more else []))
