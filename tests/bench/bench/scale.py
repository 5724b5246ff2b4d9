"""Many agents without Slurm: real processes of this machine, which meet in a directory. Are all
trees right, and what do memory, connections and set-up cost as the number grows?"""

import hashlib
import io
import os
import signal
import tarfile
import time

from . import report
from .agents import Agents
from .base import TICK, WORK, Failure, say
from .cluster import shape_name, stage_phases
from .report import figure

TITLE = "many agents"
MINUTES, QUICK_MINUTES = 1.6, 0.7
# (agents, their --tree; None: their choice)
SIZES = [(16, None), (64, None), (256, None), (1024, None), (256, "two"), (1024, "two")]
QUICK = [(4, None), (32, None), (32, "two")]
SETTLE = 20  # seconds
FILES = 60
# Longer than the defaults: all of them share the processors of one machine.
ARGS = ["--stall", "300", "--timeout", "900", "--fence", "300"]


def make_bundle(path):
    """A tree of FILES files in directories, with links, 1 MB."""
    with tarfile.open(path, "w:gz", compresslevel=6) as tar:
        for i in range(FILES):
            info = tarfile.TarInfo(f"lib/d{i % 7}/file{i}")
            content = hashlib.sha512(str(i).encode()).digest() * (8 * i)
            info.size, info.mode, info.mtime = len(content), 0o644, 1700000000 + i
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("lib/first")
        link.type, link.linkname = tarfile.SYMTYPE, "d0/file0"
        tar.addfile(link)
        hard = tarfile.TarInfo("lib/again")
        hard.type, hard.linkname = tarfile.LNKTYPE, "lib/d1/file1"
        tar.addfile(hard)
    return path


def fingerprint(tree):
    """Of names, kinds, modes, contents, targets and times of files."""
    digest = hashlib.blake2b()
    for folder, folders, files in os.walk(tree):
        folders.sort()
        for name in sorted(files) + [d for d in folders if os.path.islink(os.path.join(folder, d))]:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            what = [os.path.relpath(path, tree), oct(st.st_mode), st.st_nlink]
            if os.path.islink(path):
                what.append(os.readlink(path))
            else:
                with open(path, "rb") as f:
                    what += [int(st.st_mtime), hashlib.blake2b(f.read()).hexdigest()]
            digest.update(repr(what).encode())
    return digest.hexdigest()


def trees(agents):
    """The one staged tree of each agent."""
    for rank in range(agents.size):
        found = [e.path for e in os.scandir(agents.job(rank)) if e.is_dir()]
        names = [e.name for e in os.scandir(agents.job(rank))]
        if len(found) != 1 or not any(n.endswith(".manifest") for n in names):
            raise Failure(f"rank {rank} of {agents.size}: not one whole tree: {names}")
        yield found[0]


def look(pid):
    """Memory, threads and sockets of a process."""
    got = {}
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            if line.startswith(("Rss:", "Pss:", "Private_Dirty:")):
                got[line.split(":")[0].lower() + "_mb"] = int(line.split()[1]) / 1024
    with open(f"/proc/{pid}/status") as f:
        lines = dict(x.split(":", 1) for x in f if ":" in x)
    got["threads"] = int(lines["Threads"])
    got["peak_mb"] = int(lines["VmHWM"].split()[0]) / 1024
    links = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    got["sockets"] = sum(x.startswith("socket:") for x in links)
    got["descriptors"] = len(links)
    return got


def cpu_of(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as f:
                words = f.read().rpartition(")")[2].split()
            total += int(words[11]) + int(words[12])
        except OSError:
            pass
    return total


def settle(pids):
    """Until they use little of the processors: they wait for each other, and look at the time now
    and then. At most SETTLE seconds."""
    before, end = cpu_of(pids), time.monotonic() + SETTLE
    while time.monotonic() < end:
        time.sleep(1)
        now = cpu_of(pids)
        if (now - before) / TICK < 0.1:
            return
        before = now


def look_at_all(agents, deadline):
    """Stop the root once the last agent has begun to unpack, so that nobody can commit; look at
    all when they are at rest."""
    last = agents.job(agents.size - 1)
    root = agents.child[0]
    while not any(n.startswith(".incoming-") for n in os.listdir(last)):
        if root.poll() is not None or time.monotonic() > deadline:
            return None
        time.sleep(0.002)
    root.send_signal(signal.SIGSTOP)
    try:
        settle([c.pid for c in agents.child.values()])
        return [look(c.pid) for c in agents.child.values()]
    except OSError:
        return None  # it was over already
    finally:
        root.send_signal(signal.SIGCONT)


def birth(path):
    return float(os.popen(f"stat -c %.9W '{path}'").read())


def measure_size(ctx, size, tree, archive, sample):
    agents = Agents(ctx.programs.own("bench-agent"), size)
    try:
        agents.start([archive], *ARGS, *(["--tree", tree] if tree else []))
        looked = look_at_all(agents, time.monotonic() + 240) if sample else None
        got = agents.wait()
        records = [os.stat(os.path.join(agents.meet, f"{r}.record")).st_mtime for r in range(size)]
        found = list(trees(agents))
        prints = {fingerprint(tree) for tree in found}
        if len(prints) != 1:
            raise Failure(f"{size} agents: the trees are not equal")
        births = [birth(found[0]), birth(found[-1])]
        return {"print": prints.pop(), "agents": list(got.values()), "looked": looked,
                "meet_to_root": births[0] - max(records), "meet_to_last": births[1] - max(records),
                "words": agents.words()}
    finally:
        agents.close()


def measure(ctx, data, keep):
    archive = make_bundle(os.path.join(WORK, "scale.tar.gz"))
    data.update(sizes=[], files=FILES + 2, archive=os.path.getsize(archive))
    wanted = None
    for size, tree in QUICK if ctx.quick else SIZES:
        for sample in (False, True):  # one run is timed, in the other all are looked at
            got = measure_size(ctx, size, tree, archive, sample)
            if wanted is None:
                wanted = got["print"]
            if got["print"] != wanted:
                raise Failure(f"{size} agents: the trees are not those of fewer agents")
            if sample and got["looked"] is None:
                got = measure_size(ctx, size, tree, archive, sample)  # it was too fast for us
            if sample:
                data["sizes"][-1]["looked"] = got["looked"]
            else:
                data["sizes"].append(dict(got, size=size, looked=None))
            keep()
        shape = shape_name(stage_phases(got["words"]).get("shape"))
        say(f"  {size} agents, {shape}: all trees equal, {got['meet_to_last']:.2f} s from the meeting to the "
            "last agent's tree")


def most(items, key):
    return max(i[key] for i in items)


def mean(items, key):
    return sum(i[key] for i in items) / len(items)


def present(data):
    rows = []
    for s in data["sizes"]:
        cells = [str(s["size"]), shape_name(stage_phases(s["words"]).get("shape")),
                 figure(s["meet_to_root"], 3), figure(s["meet_to_last"], 3),
                 figure(sum(a["cpu"] for a in s["agents"]) / s["size"] * 1000, 1),
                 figure(s["agents"][0]["cpu"] * 1000, 1)]
        if s["looked"]:
            seen = s["looked"]
            cells += [figure(most(seen, "peak_mb"), 1), figure(mean(seen, "rss_mb"), 1), figure(mean(seen, "pss_mb"), 1),
                      figure(most(seen, "pss_mb"), 1), str(most(seen, "sockets")),
                      str(most(seen, "threads"))]
        else:
            cells += ["-"] * 6
        rows.append(cells)
    return "\n".join([
        f"A bundle of {data['files']} files, {data['archive'] / 1e3:.0f} kB, the same tree on every "
        "one of them in each run. The times of trees count from the moment when the last record was "
        "there to the first file of the root and of the last rank; all agents share this machine's "
        "processors. Memory and connections were looked at in a second run while the root was "
        "stopped, all data unpacked and nothing committed.", "",
        report.table(["agents", "shape", "to root's tree, s", "to last tree, s", "CPU ms each",
                      "of the root", "most resident, MiB", "mean RSS", "mean PSS", "most PSS",
                      "most sockets", "most threads"], rows)]), {}


def bars(_):
    return []
