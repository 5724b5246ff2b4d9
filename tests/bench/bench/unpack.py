"""Unpacking on one node: what comes from the network by pbcast, and a file that is there already by
the usual tools."""

import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from . import report, svg
from .agents import Agents
from .base import Failure, checked, say, warm
from .report import Bar, figure, median, ratio

TITLE = "one node"
MINUTES, QUICK_MINUTES = 2.2, 0.6
ROUNDS = 5
FLOORS = ["floor gz", "floor zst", "floors gz", "floors zst"]  # alone; on all processors at once
FLOOR_OF = {"receiver gz": "floor gz", "receiver zst": "floor zst", "receiver frames": "floor zst"}


def commands(archives):
    """{name: (command, its archive)}, to be run in an empty directory."""
    gz, zst = archives["gz"], archives["zst"]
    return {"tar -xzf": ["tar", "-xzf", gz], "bsdtar -xzf": ["bsdtar", "-xzf", gz],
            "pigz -dc | tar": ["bash", "-c", f"pigz -dc {gz} | tar -xf -"],
            "tar --zstd -xf": ["tar", "--zstd", "-xf", zst],
            "bsdtar -xf (zst)": ["bsdtar", "-xf", zst]}


def count_files(place):
    return sum(len(f) + sum(os.path.islink(os.path.join(d, s)) for s in dirs)
               for d, dirs, f in os.walk(place))


def run_tool(cmd, place, files):
    then = time.monotonic()
    child = subprocess.Popen(cmd, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    text = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    wall = time.monotonic() - then
    child.returncode = status
    if status != 0 or count_files(place) != files:
        raise Failure(f"{' '.join(cmd)}: status {status}, {count_files(place)} files of {files}\n"
                      f"{text}")
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "user": used.ru_utime,
            "system": used.ru_stime, "rss_mb": used.ru_maxrss / 1024}


def run_floor(program, fmt, archive, place):
    text = checked(program, fmt, archive, place)
    parts = {k: float(v) for k, v in re.findall(r"(recv|decode|write) ([\d.]+)", text)}
    return dict(parts, cpu=sum(parts.values()))


def run_floors(program, fmt, archive, place):
    """One on each processor, at the same time: the mean."""
    places = [os.path.join(place, str(i)) for i in range(os.cpu_count())]
    for p in places:
        os.makedirs(p)
    with ThreadPoolExecutor(len(places)) as at_once:
        runs = list(at_once.map(lambda p: run_floor(program, fmt, archive, p), places))
    return {k: sum(r[k] for r in runs) / len(runs) for k in runs[0]}


def run_ours(program, size, archive, files, warm_bytes):
    """The last of `size` agents: one alone, which reads the archive itself, or one that receives it
    from a first that has the set already and only reads and sends."""
    agents = Agents(program, size)
    last = size - 1
    try:
        if size > 1:
            agents.start([archive])
            agents.wait()
            agents.empty(last)
        warm(warm_bytes)
        agents.start([archive])
        got = agents.wait()[last]
        staged = sum(count_files(e.path) for e in os.scandir(agents.job(last)) if e.is_dir())
        if staged != files:
            raise Failure(f"pbcast: {staged} files of {files}\n{agents.words()}")
        return got
    finally:
        agents.close()


def measure(ctx, data, keep):
    which = "tier1" if ctx.quick else "large"
    files, size = ctx.bundles.size(which)
    copies = f"/dev/shm/pbcast-bench-archives-{os.getpid()}"
    place = os.path.join(copies, "place")
    os.makedirs(copies)
    try:
        archives = {f: shutil.copy(ctx.bundles.path(which, f), copies)
                    for f in ("gz", "zst", "frames")}
        cases = {f"pbcast {f}": None for f in archives} | commands(archives)
        cases |= {f"receiver {f}": None for f in archives} | dict.fromkeys(FLOORS)
        data.update(files=files, bytes=size, which=which, missing=[],
                    archives={f: os.path.getsize(a) for f, a in archives.items()},
                    runs={})
        for name, cmd in list(cases.items()):
            if cmd is not None and shutil.which(cmd[0]) is None:
                data["missing"].append(name)
                del cases[name]
        data["runs"] = {name: [] for name in cases}
        for i in range(1 if ctx.quick else ctx.rounds or ROUNDS):
            began = time.monotonic()
            for name in cases if i % 2 == 0 else reversed(cases):
                shutil.rmtree(place, ignore_errors=True)
                os.makedirs(place)
                kind, _, fmt = name.partition(" ")
                if kind in ("pbcast", "receiver"):
                    got = run_ours(ctx.programs.own("bench-agent"), 1 if kind == "pbcast" else 2,
                                   archives[fmt], files, size * 1.3)
                else:
                    warm(size * 1.3 * (os.cpu_count() if kind == "floors" else 1))
                    run = {"floor": run_floor, "floors": run_floors}.get(kind)
                    got = (run(ctx.programs.own("floors"), fmt, archives[fmt], place) if run
                           else run_tool(cases[name], place, files))
                data["runs"][name].append(got)
                keep()
            say(f"  round {i + 1}: " + ", ".join(
                f"{n} {r[-1].get('wall', 0):.2f}/{r[-1]['cpu']:.2f}"
                for n, r in data["runs"].items() if r))
            if not ctx.time_for(time.monotonic() - began):
                break
    finally:
        shutil.rmtree(copies)


def label(name):
    kind, _, fmt = name.partition(" ")
    return {"pbcast": f"`pbcast-stage`, {fmt}", "receiver": f"`pbcast-stage` that receives, {fmt}"}.get(
        kind, "`" + name.replace("|", "\\|") + "`")


def present(data):
    runs = data["runs"]
    rows = []
    for name, case in runs.items():
        if not case or name.startswith("floor"):
            continue
        cells = [label(name), str(len(case)),
                 figure(median(case, "wall")), report.spread(case, "wall"),
                 figure(median(case, "cpu")), figure(median(case, "user")),
                 figure(median(case, "system")),
                 # of smaller programs the kernel tells the size of what started them
                 figure(median(case, "rss_mb"), 0) if name.startswith(("pbcast", "receiver"))
                 else "-"]
        for other in ("tar -xzf", "tar --zstd -xf"):
            cells.append(figure(ratio(median(case, "wall"), median(runs.get(other, []), "wall"))))
        rows.append(cells)
    floors = [[name.replace("floor ", "").replace("floors ", "on all processors at once, "),
               *(figure(median(runs[name], k), 3) for k in ("recv", "decode", "write")),
               figure(median(runs[name], "cpu"), 3)] for name in FLOORS
              if runs.get(name)]
    text = [f"Bundle `{data['which']}`: {data['files']} files, {data['bytes'] / 1e6:.0f} MB; "
            + ", ".join(f"{f} {s / 1e6:.0f} MB" for f, s in data["archives"].items())
            + ". Archive and tree are in memory. `pbcast-stage` reads the archive itself, as the "
            "tools do; one *that receives* is the second of two agents here: it receives and checks "
            "as well, while the first, which has the set already, reads and sends on the same "
            "processors, and its wall time has the start of both and their agreement.", "",
            report.table(["", "runs", "wall s", "least-most", "CPU s", "user", "system", "MB",
                          "wall / `tar -xzf`", "wall / `tar --zstd`"], rows), ""]
    if floors:
        text += ["What the parts cost at the least, in one thread (CPU seconds of one): each "
                 "alone, and with one on every processor at the same time.", "",
                 report.table(["", "receive", "decode", "write", "sum"], floors), ""]
    for name in data["missing"]:
        text += [f"`{name}` was not measured: it is not installed.", ""]
    drawn = svg.stacked("One node: wall seconds", [
        (name, {"wall": median(case, "wall")}) for name, case in runs.items()
        if case and not name.startswith("floor")], ["wall"], "seconds")
    text += [report.image("unpack", "wall seconds of unpacking")]
    return "\n".join(text).rstrip(), {"unpack": drawn}


def bars(data):
    runs = data["runs"]

    def wall(name):
        return median(runs.get(name, []), "wall")

    def count(*names):
        return min(len(runs.get(n, [])) for n in names)

    result = [Bar(f"one node, wall: {ours} against `{other}`", ratio(wall(ours), wall(other)), most,
                  "x", count(ours, other))
              for ours, other, most in (("pbcast frames", "tar --zstd -xf", 0.60),
                                        ("pbcast frames", "tar -xzf", 0.14),
                                        ("pbcast gz", "bsdtar -xzf", 0.45),
                                        ("pbcast zst", "tar --zstd -xf", 0.95))]
    for ours, floor in FLOOR_OF.items():
        result.append(Bar(f"one node, CPU: pbcast that receives {ours.split()[1]} against receive "
                          "+ decode + write",
                          ratio(median(runs.get(ours, []), "cpu"),
                                median(runs.get(floor, []), "cpu")), 1.35, "x",
                          count(ours, floor)))
    return result
