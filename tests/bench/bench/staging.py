"""From a job's nodes without anything to the application's first line: pbcast, what sites do
today, the paper's method, and a shared file system that is read by all."""

import re
import time

from . import report, svg
from .base import Failure, Meter, load, say, warm
from .cluster import SHARE, Cluster, root_of, stage_phases, start_lost, step
from .programs import relocation
from .report import Bar, figure, median, ratio

TITLE = "staging"
MINUTES, QUICK_MINUTES = 9, 1.2
BUNDLE = "tier1"
TREE = "/dev/shm/bench"
FIRST_LINE = """import sys, time
import scipy, scipy.linalg
print("first", sys.argv[1], f"{time.time():.6f}", scipy.__file__, flush=True)
"""
ALL = ["pbcast frames", "pbcast zst", "pbcast gz", "plugin frames", "sbcast+tar gz",
       "sbcast+pigz gz", "sbcast+tar zst", "paper gz", "paper zst", "shared"]
SOME = ["pbcast frames", "pbcast gz", "sbcast+tar gz", "paper gz", "shared"]
# (rate, nodes, cases, rounds): in this order, as long as there is time; with --minutes all cases
POINTS = [("off", 8, ALL, 3), ("400mbit", 8, SOME, 1), ("off", 1, ALL, 1), ("off", 2, ALL, 1),
          ("off", 4, ALL, 1), ("400mbit", 2, SOME, 1), ("off", 16, ALL, 1), ("off", 48, SOME, 1),
          ("400mbit", 16, SOME, 1), ("off", 32, SOME, 1), ("400mbit", 4, SOME, 1),
          ("400mbit", 48, SOME, 1), ("400mbit", 1, SOME, 1), ("400mbit", 32, SOME, 1)]
QUICK = [("off", 2, ALL, 1), ("400mbit", 2, SOME, 1)]
RATES = {"off": "links unshaped", "400mbit": "links of 400 Mbit/s"}
PARTS = ["broadcast", "unpack", "step", "application"]
LABELS = {"pbcast": "`pbcast-stage`", "plugin": "`srun --pbcast-bundle`",
          "sbcast+tar": "`sbcast`, `tar`", "sbcast+pigz": "`sbcast`, `pigz -dc \\| tar`",
          "paper": "the paper's method", "shared": "GlusterFS"}


def label(name, plain=False):
    kind, _, fmt = name.partition(" ")
    text = LABELS[kind] + (f", {fmt}" if fmt else "")
    return text.replace("`", "").replace("\\", "") if plain else text


class Point:
    """A cluster of some nodes with links of some rate, and the cases on it."""

    def __init__(self, ctx, cluster, meter, rate, nodes):
        self.ctx, self.cluster, self.meter, self.rate, self.nodes = ctx, cluster, meter, rate, nodes
        self.files, self.bytes = ctx.bundles.size(BUNDLE)
        programs = ctx.programs
        cluster.up(nodes, "--plugstack", f"required {programs.plugin} agent={programs.agent}",
                   *([] if rate == "off" else ["--rate", rate]))
        self.archives = {f: cluster.offer(ctx.bundles.path(BUNDLE, f))
                         for f in ("gz", "zst", "frames")}
        self.first_line = cluster.write("first_line.py", FIRST_LINE)

    def unpack_by_tar(self, name, fmt, local):
        unpack = {"sbcast+pigz": f"pigz -dc {local} | tar -xf - -C {TREE}"}.get(
            name, f"tar {'-xzf' if fmt == 'gz' else '--zstd -xf'} {local} -C {TREE}")
        return (f"b=$EPOCHREALTIME; mkdir {TREE} && {unpack} && rm {local} && "
                f"echo unpacked $b $EPOCHREALTIME")

    def staging(self, name, job):
        """The commands that stage, or None."""
        kind, _, fmt = name.partition(" ")
        archive = self.archives.get(fmt)
        if kind == "pbcast":
            return step(job, self.nodes, "pmix", self.ctx.programs.agent, "--hold",
                        "--verbose", "2", archive)
        if kind == "paper":
            return step(job, self.nodes, "pmix", self.ctx.programs.own("paper_bcast"), archive,
                        TREE)
        if kind in ("plugin", "shared"):
            return None
        local = f"/dev/shm/bundle.tar.{fmt}"
        script = self.cluster.write("unpack.sh", self.unpack_by_tar(kind, fmt, local) + "\n")
        tar = " ".join(step(job, self.nodes, "none", "bash", script))
        return ["bash", "-c", f"s=${{EPOCHREALTIME/./}}; sbcast -j {job} {archive} {local} && "
                f"echo sbcast: $((${{EPOCHREALTIME/./}} - s)) && {tar}"]

    def application(self, name, job):
        kind, _, fmt = name.partition(" ")
        if kind == "plugin":
            prepare, option = "", [f"--pbcast-bundle={self.archives[fmt]}", "--pbcast-verbose=2"]
        else:
            root = {"pbcast": root_of(job), "shared": SHARE}.get(kind, TREE)
            prepare, option = f"root={root}; {relocation('$root')}; ", []
        return (step(job, self.nodes, "none", *option, "bash", "-c",
                     f"s=$EPOCHREALTIME; {prepare}exec python3 {self.first_line} $s"))

    def trees(self, name, job):
        """A shell pattern of the unpacked tree, or None."""
        return {"pbcast": f"/dev/shm/pbcast-*/{job}/*/.", "plugin": f"/dev/shm/pbcast/{job}/*/.",
                "shared": None}.get(name.split()[0], TREE)

    def check(self, name, job, lines):
        """Each rank has imported from the right tree, and it has all files."""
        root = {"pbcast": "/dev/shm/pbcast-", "plugin": "/dev/shm/pbcast/",
                "shared": SHARE}.get(name.split()[0], TREE)
        if len(lines) != self.nodes or not all(at.startswith(root) for _, _, at in lines):
            raise Failure(f"{name}: not all ranks imported scipy from {root}: {lines}")
        pattern = self.trees(name, job)
        if pattern is not None:
            counts = self.cluster.every("bash", "-c", f"find {pattern} ! -type d | wc -l")
            if [int(c) for c in counts] != [self.files] * self.nodes:
                raise Failure(f"{name}: not all nodes have {self.files} files: {counts}")

    def attempt(self, name, job):
        """One run of a case: (figures, None), or (None, text) if Slurm lost a start-up."""
        got = {"load": [load()]}
        command = self.staging(name, job)
        if command is not None:
            held = self.nodes if name.split()[0] in ("pbcast", "paper") else 0
            measured, status, text = self.cluster.timed(self.meter, command, 240, held)
            if status != 0:
                return self.lost(name, status, text)
            got["staging"] = dict(measured, phases=phases(name, text))
        began = time.time()
        measured, status, text = self.cluster.timed(self.meter, self.application(name, job), 240)
        if status != 0:
            return self.lost(name, status, text)
        lines = [(float(b), float(e), at) for b, e, at in
                 re.findall(r"first ([\d.]+) ([\d.]+) (\S+)", text)]
        self.check(name, job, lines)
        got["run"] = dict(measured, first_line=max(e for _, e, _ in lines) - began,
                          application=max(e for _, e, _ in lines) - min(b for b, _, _ in lines),
                          phases=phases(name, text))
        got["load"].append(load())
        return got, None

    @staticmethod
    def lost(name, status, text):
        if not start_lost(status, text):
            raise Failure(f"{name}: exit status {status}\n{text}")
        return None, text

    def measure(self, name):
        fmt = name.partition(" ")[2]
        archive = self.ctx.bundles.path(BUNDLE, fmt) if fmt else None
        if name == "shared" and not self.cluster.volume:
            self.cluster.make_volume(self.archives["gz"])
            self.cluster.call("exec", "ctl", "gluster", "volume", "profile", "bench", "start")
        for lost in range(5):
            self.cluster.purge()
            if name == "shared":
                self.cluster.mount()
                self.cluster.served()
            job = self.cluster.allocate()
            if archive is not None:
                warm(self.nodes * self.bytes * 1.3)
            try:
                got, text = self.attempt(name, job)
            finally:
                if name == "shared":
                    served = self.cluster.served()
                self.cluster.release(job)
            if got is not None:
                got["lost"] = lost
                if name == "shared":
                    got["served"] = served
                return got
            say(f"    {name}: start-up lost, again")
        raise Failure(f"{name}: start-up lost five times\n{text}")


def phases(name, text):
    if name.split()[0] in ("pbcast", "plugin"):
        return stage_phases(text)
    got = re.search(r"read ([\d.]+) bcast ([\d.]+) write ([\d.]+) unpack ([\d.]+)", text)
    if got is not None:
        return dict(zip(("read", "send", "write", "unpack"), map(float, got.groups())))
    times = [(float(b), float(e)) for b, e in re.findall(r"unpacked ([\d.]+) ([\d.]+)", text)]
    got = re.search(r"sbcast: (\d+)", text)
    if got is None or not times:
        return {}
    return {"send": int(got.group(1)) / 1e6,
            "unpack": max(e for _, e in times) - min(b for b, _ in times)}


def points_before(ctx):
    """Those of an earlier turn that is to be gone on with."""
    before = ctx.result("staging") if ctx.resume else None
    if before is None or before["quick"] != ctx.quick:
        return []
    for point in before["points"]:
        for key in ("commit", "date"):
            point.setdefault(key, before["machine"][key])
    return [p for p in before["points"] if not p["failed"]]


def measure(ctx, data, keep):
    ctx.bundles.size(BUNDLE)
    data.update(points=points_before(ctx), left_out=[], files=ctx.bundles.size(BUNDLE)[0],
                bytes=ctx.bundles.size(BUNDLE)[1],
                archives={f: ctx.bundles.archive_size(BUNDLE, f) for f in ("gz", "zst", "frames")})
    longest = {}
    there = [(p["rate"], p["nodes"]) for p in data["points"]]
    for rate, nodes, cases, rounds in QUICK if ctx.quick else POINTS:
        if (rate, nodes) in there:
            continue
        if ctx.long:
            cases, rounds = ALL, 3 if nodes == 8 else 1
        most = max(longest, default=0)  # the best guess is by the largest that was measured
        if not ctx.time_for(longest[most] / most * nodes * len(cases) if most else 0):
            data["left_out"].append([rate, nodes])
            keep()
            continue
        point = {"rate": rate, "nodes": nodes, "idle": [], "runs": {c: [] for c in cases},
                 "failed": [], "commit": data["machine"]["commit"],
                 "date": data["machine"]["date"]}
        data["points"].append(point)
        took = measure_point(ctx, point, rate, nodes, cases, rounds, keep)
        longest[nodes] = took / len(cases)
    failed = [(p["rate"], p["nodes"], name) for p in data["points"] for name, _ in p["failed"]]
    if failed:
        raise Failure(f"not measured: {failed}")


def measure_point(ctx, point, rate, nodes, cases, rounds, keep):
    cluster, meter = Cluster(ctx.name), Meter()
    took = 0
    try:
        at = Point(ctx, cluster, meter, rate, nodes)
        cases = list(cases)
        for i in range(rounds):
            if i > 0 and not ctx.time_for(took):
                break
            began = time.monotonic()
            point["idle"].append(meter.idle(2))
            for name in list(cases) if i % 2 == 0 else list(reversed(cases)):
                if i == 0 and not ctx.time_for(0):
                    point["failed"].append([name, "no time was left"])
                    continue
                try:
                    got = at.measure(name)
                except Failure as why:  # the other cases are not to be lost with it
                    say(f"    {name} at {nodes} nodes: {why}")
                    point["failed"].append([name, str(why)[-2000:]])
                    cases.remove(name)
                    cluster.call("wait-idle", "60", check=False)
                    continue
                point["runs"][name].append(got)
                keep()
                say(f"  {rate} {nodes} nodes, {i + 1}/{rounds} {name}: staged "
                    f"{figure(got.get('staging', {}).get('wall'))} s, first line "
                    f"{got['run']['first_line']:.2f} s")
            took = time.monotonic() - began
    finally:
        cluster.down()
        meter.close()
    return took


# --- what it says ---------------------------------------------------------------------------------


def derive(point):
    """For each case what the tables show: {case: [figures of each run]}."""
    idle = median(point["idle"], "cpu") or 0
    derived = {}
    for name, runs in point["runs"].items():
        derived[name] = [derive_run(name, run, idle) for run in runs]
    return {name: runs for name, runs in derived.items() if runs}


def derive_run(name, run, idle):
    staging, rest = run.get("staging"), run["run"]
    got = {"first_line": rest["first_line"], "application": rest["application"],
           "served": sum(run.get("served", {}).values()) or None}
    if staging is not None:
        got["wall"] = staging["wall"]
        got["cpu"] = None if staging["cpu"] is None else staging["cpu"] - idle * staging["wall"]
        got["first_line"] += staging["wall"]
    cpu = [m["cpu"] - idle * m["wall"] for m in (staging, rest)
           if m is not None and m["cpu"] is not None]
    got["cpu_all"] = sum(cpu) if cpu else None
    phase = (staging or rest)["phases"]
    if name.split()[0] in ("pbcast", "plugin"):
        # they overlap: what of the unpacking comes after the last byte was sent
        got["broadcast"] = phase.get("send", 0)
        got["unpack"] = max(0, phase.get("unpack", 0) - phase.get("send", 0))
    else:
        got["broadcast"] = sum(phase.get(k, 0) for k in ("read", "send", "write"))
        got["unpack"] = phase.get("unpack", 0)
    got["step"] = got["first_line"] - got["broadcast"] - got["unpack"] - got["application"]
    return got


def merged(data):
    """{(rate, nodes): {case: runs}}; a point may have been measured in two turns."""
    points = {}
    for point in data["points"]:
        at = points.setdefault((point["rate"], point["nodes"]), {})
        for name, runs in derive(point).items():
            at.setdefault(name, []).extend(runs)
    return points


def point_table(data, rate, nodes):
    cases = merged(data).get((rate, nodes), {})
    rows = []
    for name, runs in cases.items():
        rows.append([label(name), str(len(runs)), figure(median(runs, "wall")),
                     report.spread(runs, "wall"), figure(median(runs, "cpu"), 1),
                     figure(median(runs, "broadcast")), figure(median(runs, "unpack")),
                     figure(median(runs, "step")), figure(median(runs, "application")),
                     figure(median(runs, "first_line")), figure(median(runs, "cpu_all"), 1)])
    return report.table(["", "runs", "staging, s", "least-most", "CPU s", "broadcast", "unpack",
                         "step", "application", "first line after, s", "CPU s in all"], rows)


def over_nodes(data, rate, key):
    points = merged(data)
    sizes = sorted(n for r, n in points if r == rate)
    names = [n for n in ALL if any(n in points[(rate, s)] for s in sizes)]
    return sizes, {name: [(s, median(points[(rate, s)].get(name, []), key)) for s in sizes]
                   for name in names}


def sizes_table(data, rate, key, digits=2):
    sizes, series = over_nodes(data, rate, key)
    rows = [[label(name)] + [figure(y, digits) for _, y in pts] for name, pts in series.items()
            if any(y is not None for _, y in pts)]
    runs = merged(data)
    rows.append(["runs of each"] + [str(max(len(r) for r in runs[(rate, s)].values()))
                                    for s in sizes])
    return report.table(["nodes"] + [str(s) for s in sizes], rows)


def main_size(data, rate):
    sizes = sorted(n for r, n in merged(data) if r == rate)
    return 8 if 8 in sizes else sizes[-1] if sizes else None


def present(data):
    figures, text = {}, [
        f"Bundle: {data['files']} files, {data['bytes'] / 1e6:.0f} MB; "
        + ", ".join(f"{f} {s / 1e6:.0f} MB" for f, s in data["archives"].items()) + ". *staging* "
        "is the wall time of the commands that stage, *CPU s* that of all nodes together, less "
        "what the idle cluster used; *first line after* counts from the start of the first command "
        "to the last rank's first line after `import scipy, scipy.linalg`; *step* is what is left: "
        "starting steps, agreeing, committing.", ""]
    for rate, words in (("off", "Links unshaped"), ("400mbit", "Links of 400 Mbit/s")):
        nodes = main_size(data, rate)
        if nodes is None:
            continue
        key = "unshaped" if rate == "off" else rate
        text += [f"### {words}", "", f"{nodes} nodes:", "", point_table(data, rate, nodes), ""]
        rows = [(label(n, True), {p: median(runs, p) for p in PARTS})
                for n, runs in merged(data)[(rate, nodes)].items()]
        figures[f"staging-{key}-parts"] = svg.stacked(
            f"{nodes} nodes, {words.lower()}: to the first line after import scipy", rows, PARTS,
            "seconds")
        text += [report.image(f"staging-{key}-parts", f"parts at {nodes} nodes"), "",
                 "Wall seconds of staging:", "", sizes_table(data, rate, "wall"), "",
                 "CPU seconds of staging, all nodes:", "", sizes_table(data, rate, "cpu", 1), "",
                 "Seconds to the last rank's first line after `import scipy`:", "",
                 sizes_table(data, rate, "first_line"), ""]
        for what, name, unit in (("wall", "Staging, wall", "seconds"),
                                 ("cpu", "Staging, CPU of all nodes", "CPU seconds"),
                                 ("first_line", "First line after import scipy", "seconds")):
            _, series = over_nodes(data, rate, what)
            drawn = svg.lines(f"{name}, {words.lower()}",
                              {label(n, True): pts for n, pts in series.items()}, "nodes", unit,
                              log_y=True)
            if drawn is not None:
                figures[f"staging-{key}-{what}"] = drawn
                text += [report.image(f"staging-{key}-{what}", name), ""]
    served = {n: median(cases.get("shared", []), "served") for (r, n), cases
              in sorted(merged(data).items()) if r == "off" and cases.get("shared")}
    if served:
        text += ["Requests that the GlusterFS server had of each start, by nodes: "
                 + ", ".join(f"{n}: {figure(s, 0)}" for n, s in served.items()) + ".", ""]
    turns = {}
    for p in data["points"]:
        turns.setdefault((p.get("date"), p.get("commit")), []).append(
            f"{p['nodes']} {'node' if p['nodes'] == 1 else 'nodes'} with {RATES[p['rate']]}")
    if len(turns) > 1:
        text += ["Measured in turns. " + " ".join(f"{date}, pbcast {commit}: {', '.join(which)}."
                                               for (date, commit), which in turns.items()), ""]
    for rate, nodes in data["left_out"]:
        text += [f"Not measured for want of time: {nodes} nodes, {RATES[rate]}.", ""]
    for point in data["points"]:
        for name, why in point["failed"]:
            text += [f"Failed: {label(name)} at {point['nodes']} nodes, {RATES[point['rate']]}: "
                     f"{why.splitlines()[0] if why else ''}", ""]
    return "\n".join(text).rstrip(), figures


def bars(data):
    return [bar for rate in RATES for bar in bars_at(merged(data).get((rate, 8), {}), RATES[rate])]


def bars_at(found, links):
    result = []
    for what, ours, other, most in (
            ("sbcast + tar, .tar.gz", "pbcast gz", "sbcast+tar gz", 0.35),
            ("the paper's method, .tar.gz", "pbcast gz", "paper gz", 0.40),
            ("sbcast + tar, .tar.zst", "pbcast zst", "sbcast+tar zst", 0.30),
            ("frames against the paper's method on .tar.gz", "pbcast frames", "paper gz", 0.25)):
        for key, word in (("wall", "wall"), ("cpu", "CPU")):
            runs = min(len(found.get(ours, [])), len(found.get(other, [])))
            result.append(Bar(f"8 nodes, {links}, staging, {word}: {what}",
                              ratio(median(found.get(ours, []), key),
                                    median(found.get(other, []), key)), most, "x", runs))
    return result
