"""What the measuring programs of this directory share: the cluster, the meters, the table."""

import datetime
import json
import mmap
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
DOCS = os.path.join(TOP, "docs", "benchmarks.md")
RESULTS = os.path.join(HERE, "results")
WORK = os.environ.get("PBC_BENCH_DIR", "/var/tmp/pbcast-bench")
CPUACCT = "/sys/fs/cgroup/cpuacct"
TICK = os.sysconf("SC_CLK_TCK")
AGAIN = 6  # exit status of a start-up that Slurm lost; such a run does not count


def die(text):
    sys.exit(f"{os.path.basename(sys.argv[0])}: {text}")


def say(text):
    print(text, file=sys.stderr, flush=True)


def output(*cmd):
    """First line that a command prints; empty where there is no such command."""
    try:
        done = subprocess.run(cmd, capture_output=True, text=True)
    except OSError:
        return ""
    return (done.stdout or done.stderr).partition("\n")[0].strip()


# --- the programs and bundles --------------------------------------------------------------------


def build(prefix):
    """Build this tree and install it below `prefix`; returns what was installed."""
    tree = os.path.join(WORK, "build")
    os.makedirs(WORK, exist_ok=True)
    for cmd in (["cmake", "-S", TOP, "-B", tree, "-DPBC_TESTS=OFF",
                 f"-DCMAKE_INSTALL_PREFIX={prefix}"],
                ["cmake", "--build", tree, "--parallel"],
                ["cmake", "--install", tree]):
        done = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            die(f"{' '.join(cmd)} failed:\n{done.stdout}")


def installed(prefix):
    """(agent, plugin) below `prefix`, building them if it is not given."""
    if prefix is None:
        prefix = os.path.join(WORK, "prefix")
        build(prefix)
    found = {}
    for path, _, files in os.walk(prefix):
        for name in ("pbcast-stage", "pbcast.so"):
            if name in files:
                found[name] = os.path.join(path, name)
    for name in ("pbcast-stage", "pbcast.so"):
        if name not in found:
            die(f"there is no {name} below {prefix}")
    return found["pbcast-stage"], found["pbcast.so"]


def bundles(given, formats):
    """{format: archive}: those given, else the reference bundle of this machine's packages."""
    found = {f: path for f in formats for path in given if path.endswith("." + f)}
    for f in formats:
        if f in found:
            continue
        if given:
            die(f"no bundle *.tar.{f} given; give one a format (--formats)")
        found[f] = os.path.join(WORK, f"tier1.tar.{f}")
        os.makedirs(WORK, exist_ok=True)
        maker = os.path.join(TOP, "container", "make-tier1")
        subprocess.run([maker, "--no-verify", "--cache", os.path.join(WORK, "cache"), found[f]],
                       check=True)
    return found


def members(archive):
    """(files, bytes) in an archive: regular files and links count as files."""
    import tarfile

    files = size = 0
    cat = subprocess.Popen(["zstd" if archive.endswith("zst") else "gzip", "-dc", archive],
                           stdout=subprocess.PIPE)
    with tarfile.open(fileobj=cat.stdout, mode="r|") as tar:
        for member in tar:
            files += not member.isdir()
            size += member.size
    cat.wait()
    return files, size


# --- meters --------------------------------------------------------------------------------------


class Meter:
    """Wall and CPU seconds. CPU of the cgroup that this program and its children are in, and of
    the whole machine. The first misses work that interrupts do for a process while another runs;
    the second has everybody's."""

    def __init__(self):
        self.group = os.path.join(CPUACCT, f"pbcast-bench-{os.getpid()}")
        try:
            os.mkdir(self.group)
            with open(os.path.join(self.group, "cgroup.procs"), "w") as f:
                f.write(str(os.getpid()))
        except OSError:
            self.group = None

    def close(self):
        """Leave the group and remove it, once all of the cluster has ended."""
        if self.group is None:
            return
        with open(os.path.join(CPUACCT, "cgroup.procs"), "w") as f:
            f.write(str(os.getpid()))
        for _ in range(50):
            try:
                os.rmdir(self.group)
                return
            except OSError:
                time.sleep(0.1)

    def read(self):
        with open("/proc/stat") as f:
            user, nice, system, _, _, irq, softirq, *_ = map(int, f.readline().split()[1:])
        machine = (user + nice + system + irq + softirq) / TICK
        group = None
        if self.group is not None:
            with open(os.path.join(self.group, "cpuacct.usage")) as f:
                group = int(f.read()) / 1e9
        return time.monotonic(), group, machine

    @staticmethod
    def since(then, now):
        return {"wall": now[0] - then[0],
                "cpu": None if now[1] is None else now[1] - then[1],
                "cpu_machine": now[2] - then[2]}

    def idle(self, seconds):
        """CPU seconds a second while nothing is measured."""
        then = self.read()
        time.sleep(seconds)
        got = self.since(then, self.read())
        return {key: None if got[key] is None else got[key] / got["wall"]
                for key in ("cpu", "cpu_machine")}


def warm(size):
    """Touch memory just before a timing. On a virtual machine free pages may have gone back to
    the host, and the first touch of one costs many times a warm one's."""
    pid = os.fork()
    if pid == 0:
        try:
            mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS |
                      mmap.MAP_POPULATE).close()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def load():
    return [round(x, 2) for x in os.getloadavg()]


# --- the cluster ---------------------------------------------------------------------------------


class Cluster:
    def __init__(self, name):
        self.base = [os.path.join(TOP, "container", "cluster"), "--name", name]
        self.nodes = 0

    def call(self, *args, **more):
        more.setdefault("check", True)
        return subprocess.run(self.base + list(args), text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more).stdout

    def up(self, nodes, *args):
        self.down()
        self.nodes = nodes
        self.call("up", str(nodes), *args)
        self.shared = self.call("shared").strip()

    def down(self):
        self.call("down", check=False)

    def offer(self, path):
        """Put a file into the cluster's shared file system; its name there."""
        name = os.path.basename(path)
        target = os.path.join(self.shared, name)
        if not os.path.exists(target):
            try:
                os.link(path, target)
            except OSError:
                shutil.copyfile(path, target)
            os.chmod(target, 0o644)
        return "/shared/" + name

    def every(self, *cmd):
        """Run on all nodes at once; what each printed."""
        running = [subprocess.Popen(self.base + ["exec", f"n{i + 1}", *cmd], text=True,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL) for i in range(self.nodes)]
        return [p.communicate()[0] for p in running]

    def purge(self):
        self.every("find", "/dev/shm", "/tmp", "-mindepth", "1", "-delete")

    def allocate(self):
        """A job over all nodes, in which steps can be run; its id."""
        text = self.call("run", "salloc", "-N", str(self.nodes), "--no-shell")
        got = re.search(r"Granted job allocation (\d+)", text)
        if got is None:
            die(f"no allocation: {text}")
        return got.group(1)

    def release(self, job):
        self.call("run", "scancel", job, check=False)  # the job may have ended by itself
        self.call("wait-idle", "120")

    def timed(self, meter, cmd, timeout=300):
        """Run a command as the user on the login node: (measured, status, what it printed)."""
        child = subprocess.Popen(self.base + ["run", *cmd], text=True, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        then = meter.read()
        try:
            text, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGTERM)
            text, _ = child.communicate()
            return Meter.since(then, meter.read()), "timeout", text
        return Meter.since(then, meter.read()), child.returncode, text


SUMMARY = re.compile(
    r"in ([\d.]+) s \(start ([\d.]+), read ([\d.]+), send ([\d.]+), unpack ([\d.]+), "
    r"commit ([\d.]+)\)")
SLOWEST = re.compile(r"arity (\d+), slowest node (\S+) with ([\d.]+) s")


def stage_phases(text):
    """The figures that pbcast-stage --verbose 2 prints."""
    phases = {}
    got = SUMMARY.search(text)
    if got is not None:
        names = ("total", "start", "read", "send", "unpack", "commit")
        phases = dict(zip(names, map(float, got.groups())))
    got = SLOWEST.search(text)
    if got is not None:
        phases.update(arity=int(got.group(1)), slowest=float(got.group(3)))
    return phases


# --- results -------------------------------------------------------------------------------------


def describe(given):
    """The machine and the programs that took part. What was built elsewhere (`given` is true) is
    of a commit that only its builder knows."""
    with open("/proc/cpuinfo") as f:
        model = re.search(r"^model name\s*: (.*)$", f.read(), re.M)
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) // 1024
    with open("/etc/os-release") as f:
        distribution = re.search(r'^PRETTY_NAME="?([^"\n]*)', f.read(), re.M)
    commit = output("git", "-C", TOP, "rev-parse", "--short", "HEAD")
    dirty = output("git", "-C", TOP, "status", "--porcelain", "--", "stage", "spank")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": model.group(1) if model else os.uname().machine,
        "cpus": os.cpu_count(),
        "memory_mib": memory,
        "kernel": os.uname().release,
        "system": distribution.group(1) if distribution else "",
        "slurm": output("slurmd", "-V"),
        "mpi": output("mpirun", "--version"),
        "tar": output("tar", "--version"),
        "zstd": output("zstd", "--version"),
        "bsdtar": output("bsdtar", "--version"),
        "commit": "as installed" if given else commit + ("+changes" if dirty else ""),
    }


def machine_line(d):
    return (f"{d['cpus']} x {d['cpu']}, {d['memory_mib'] // 1024} GiB, Linux {d['kernel']}, "
            f"{d['system']}, {d['slurm']}, pbcast {d['commit']}, {d['date']}")


def median(runs, key):
    values = [r[key] for r in runs if r.get(key) is not None]
    return statistics.median(values) if values else None


def spread(runs, key):
    values = [r[key] for r in runs if r.get(key) is not None]
    return f"{min(values):.2f}-{max(values):.2f}" if values else "-"


def figure(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def keep(name, data, text, write_docs, out):
    """Print the text, keep the raw figures, and put the text into the documentation."""
    print(text)
    path = out
    if path is None:
        folder = RESULTS if write_docs else WORK
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, name + ".json")
    with open(path, "w") as f:
        json.dump(data, f, indent=1)
        f.write("\n")
    say(f"raw figures: {path}")
    if not write_docs:
        return
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    with open(DOCS) as f:
        page = f.read()
    before, mark, rest = page.partition(begin)
    _, mark2, after = rest.partition(end)
    if not mark or not mark2:
        die(f"{DOCS} has no {begin} ... {end}")
    with open(DOCS, "w") as f:
        f.write(f"{before}{begin}\n{text}\n{end}{after}")


def arguments(parser):
    """What every program here accepts."""
    # An end from outside is an orderly one: the cluster goes down.
    signal.signal(signal.SIGTERM, lambda *_: die("stopped by SIGTERM"))
    parser.add_argument("--rounds", type=int, help="of all cases; medians are of these")
    parser.add_argument("--quick", action="store_true", help="one round: does it work?")
    parser.add_argument("--prefix", metavar="DIR",
                        help="where pbcast is installed (default: build this tree and install it)")
    parser.add_argument("--out", metavar="FILE", help="raw figures as JSON "
                        "(default: below $PBC_BENCH_DIR, /var/tmp/pbcast-bench)")
    parser.add_argument("--write-docs", action="store_true",
                        help="put the table into docs/benchmarks.md and the raw figures into "
                        "tests/bench/results")
