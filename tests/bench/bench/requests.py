"""Requests to the shared file system at the start of a Python (Feng & Hand, figure 1): those of one
process over the directories of PYTHONPATH that are searched in vain, and those that reach the
file server over the ranks of a job; from the shared file system and after relocation."""

import os
import re

from . import report, svg
from .base import Failure, say
from .cluster import SHARE, Cluster
from .programs import relocation
from .report import Bar, ratio

TITLE = "file requests"
MINUTES, QUICK_MINUTES = 3.5, 1
BUNDLE, ARCHIVE = "tier1", "tier1.frames.tar.zst"
STARTS = {"python": "pass", "numpy": "import numpy", "scipy": "import scipy",
          "scipy.stats": "import scipy.stats"}
ENTRIES = [0, 4, 8, 16, 32, 64]
MANY = 16  # path entries in the jobs whose requests the server counts
RANKS = [(1, 1), (2, 2), (4, 4), (8, 8), (8, 16), (8, 32)]  # (nodes, ranks)
# What the server itself does when nobody holds a file any more; nobody asks for it.
NO_REQUEST = {"FORGET", "RELEASE", "RELEASEDIR"}
CASES = {"none": "no Python: `srun true`",
         "shared python": "GlusterFS, `pass`",
         "shared scipy": "GlusterFS, `import scipy`",
         f"shared scipy {MANY}": f"GlusterFS, `import scipy`, {MANY} entries",
         f"staged scipy {MANY}": f"relocated, `import scipy`, {MANY} entries"}


def path_entries(count):
    return ":".join(f"{SHARE}/entries/e{i}" for i in range(count))


def from_shared(count):
    """Shell text: the Python of the volume, with some path entries."""
    text = relocation(SHARE)
    return f"{text}; export PYTHONPATH={path_entries(count)}" if count else text


class Nodes:
    """The cluster and the volume, with the tree, the archive and empty directories on it."""

    def __init__(self, ctx, cluster, nodes):
        self.cluster = cluster
        programs = ctx.programs
        cluster.up(nodes, "--plugstack", f"required {programs.plugin} agent={programs.agent}")
        cluster.make_volume(cluster.offer(ctx.bundles.path(BUNDLE, "gz")))
        frames = cluster.offer(ctx.bundles.path(BUNDLE, "frames"))
        self.mount()
        cluster.call("exec", "n1", "bash", "-c",
                     f"cp {frames} {SHARE}/{ARCHIVE} && cd {SHARE} && mkdir entries && "
                     f"mkdir entries/e{{0..{ENTRIES[-1] - 1}}}")
        cluster.call("exec", "ctl", "gluster", "volume", "profile", "bench", "start")

    def mount(self):
        """Anew, so that no node has anything of it; where srun looks at the bundle too."""
        self.cluster.mount()
        self.cluster.mount(["login"])

    def srun(self, *args, path=None):
        env = ["env", f"PYTHONPATH={path}"] if path else []
        self.cluster.call("run", *env, "srun", "--mpi=none", "--chdir=/", *args, timeout=200)

    # --- one process

    def traced(self, staged, count):
        """{start: [requests to the volume, requests to the staged tree]} of one process each."""
        home = "/shared/home/alice"
        script = self.cluster.write("trace.sh", "".join(
            f"strace -f -qq -y -e trace=%file,getdents64 -o {home}/trace.{name} "
            f"python3 -c '{statement}' || exit 1\n" for name, statement in STARTS.items()))
        if staged:
            self.srun("-N1", f"--pbcast-bundle={SHARE}/{ARCHIVE}", "bash", script,
                      path=path_entries(count))
        else:
            self.srun("-N1", "bash", "-c", f"{from_shared(count)}; exec bash {script}")
        got = {}
        for name in STARTS:
            with open(os.path.join(self.cluster.shared, "home", "alice", f"trace.{name}")) as f:
                got[name] = requests(f.read())
        return got

    # --- a job

    def job(self, case, nodes, ranks):
        """Requests that the server has had for a job, by kind."""
        where, _, start = case.partition(" ")
        start, _, count = start.partition(" ")
        size = [f"-N{nodes}", f"-n{ranks}", "--overcommit"]
        self.mount()
        self.cluster.served()
        if where == "none":
            self.srun(*size, "true")
        elif where == "staged":
            self.srun(*size, f"--pbcast-bundle={SHARE}/{ARCHIVE}", "python3", "-c", STARTS[start],
                      path=path_entries(int(count or 0)))
        else:
            self.srun(*size, "bash", "-c",
                      f"{from_shared(int(count or 0))}; exec python3 -c '{STARTS[start]}'")
        self.cluster.call("wait-idle", "60")
        return {kind: n for kind, n in self.cluster.served().items() if kind not in NO_REQUEST}


def requests(trace):
    """[to the volume, to a staged tree]: calls that name a file there, or read a directory."""
    return [len(re.findall(rf'^\d+ +\w+\((?:[^"\n]*")?[^"\n]*{at}/', trace, re.M))
            for at in (SHARE, "/dev/shm/pbcast")]


def measure(ctx, data, keep):
    points = RANKS[:2] if ctx.quick else RANKS
    entries = [0, 16] if ctx.quick else ENTRIES
    data.update(traced=[], jobs=[], files=ctx.bundles.size(BUNDLE)[0],
                archive=ctx.bundles.archive_size(BUNDLE, "frames"))
    cluster = Cluster(ctx.name)
    try:
        at = Nodes(ctx, cluster, max(n for n, _ in points))
        for staged in (False, True):
            for count in entries:
                got = at.traced(staged, count)
                if any(sum(n) == 0 for n in got.values()):
                    raise Failure(f"a trace without requests: {got}")
                data["traced"].append({"staged": staged, "entries": count, "requests": got})
                keep()
                say(f"  {'staged' if staged else 'shared'}, {count} entries: {got}")
        for nodes, ranks in points:
            for case in CASES:
                got = at.job(case, nodes, ranks)
                data["jobs"].append({"case": case, "nodes": nodes, "ranks": ranks, "served": got})
                keep()
                say(f"  {nodes} nodes, {ranks} ranks, {case}: {sum(got.values())} {got}")
    finally:
        cluster.down()


def jobs(data, case):
    """[(nodes, ranks, all requests, those for data)]"""
    return [(j["nodes"], j["ranks"], sum(j["served"].values()), j["served"].get("READ", 0))
            for j in data["jobs"] if j["case"] == case]


def present(data):
    counts = sorted({t["entries"] for t in data["traced"]})
    by = {(t["staged"], t["entries"]): t["requests"] for t in data["traced"]}
    series, rows = {}, []
    for staged, word in ((False, "GlusterFS"), (True, "relocated")):
        for name in STARTS:
            points = [(c, by[staged, c][name][0]) for c in counts if (staged, c) in by]
            if not staged:
                series[name] = points
            rows.append([word, f"`{STARTS[name]}`"] + [str(n) for _, n in points])
    series["relocated, each"] = [(c, max(by[True, c][n][0] for n in STARTS)) for c in counts
                                 if (True, c) in by]
    figures = {"requests-entries": svg.lines(
        "File requests to the shared file system, one process", series, "path entries",
        "requests", log_x=False)}
    text = [
        "Requests to the shared file system of one start-up, by the number of (empty) directories "
        "in `PYTHONPATH` before the one that has the packages: system calls that name a file or "
        "read a directory there, counted by strace.", "",
        report.table(["from", "start"] + [f"{c} entries" for c in counts], rows), "",
        report.image("requests-entries", "file requests over path entries"), "",
        "Relocated, the same start-ups make in the node's memory "
        + ", ".join(f"{by[True, counts[-1]][n][1]} (`{s}`)" for n, s in STARTS.items()
                    if (True, counts[-1]) in by) + " requests, however many entries there are.", "",
        "Requests that the GlusterFS server has had for a whole job (`gluster volume profile`); "
        "in brackets those for the contents of files (`READ`). Staging is included: the archive "
        f"({data['archive'] / 1e6:.0f} MB) lies on the volume. All nodes and the login node have "
        "mounted it anew before each job, with the defaults of `mount -t glusterfs`: the client "
        "keeps attributes and names for one second, pages until the file changes, so that ranks "
        "of one node share some of what they ask for, and a job that takes longer asks for a few "
        "attributes (`STAT`, `FSTAT`) again. `srun true` shows what mounts cause by themselves.",
        ""]
    points = sorted({(j["nodes"], j["ranks"]) for j in data["jobs"]})
    rows, series = [], {}
    for case, label in CASES.items():
        found = {(n, r): (total, read) for n, r, total, read in jobs(data, case)}
        rows.append([label] + [f"{found[p][0]} ({found[p][1]})" if p in found else "-"
                               for p in points])
        if case != "none":
            series[label.replace("`", "")] = [(p[1], found[p][0]) for p in points if p in found]
    figures["requests-ranks"] = svg.lines(
        "Requests that reach the file server, a whole job", series, "ranks", "requests", log_y=True)
    text += [report.table(["job"] + [f"{r} rank{'s' * (r > 1)} on {n}" for n, r in points], rows),
             "", report.image("requests-ranks", "requests at the server over ranks")]
    return "\n".join(text), figures


def bars(data):
    found = jobs(data, f"staged scipy {MANY}")
    beyond = [t["requests"][n][0] for t in data["traced"] if t["staged"] for n in STARTS]
    return [Bar("requests of a relocated start-up to the shared file system",
                max(beyond) if beyond else None, 0, ""),
            Bar("requests at the file server: relocated, most ranks against one",
                ratio(found[-1][2], found[0][2]) if len(found) > 1 else None, 1.02, "x")]
