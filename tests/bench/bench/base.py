"""What all sections share: where things lie, how to speak, and the meters."""

import mmap
import os
import subprocess
import sys
import time

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
WORK = os.environ.get("PBC_BENCH_DIR", "/var/tmp/pbcast-bench")
CPUACCT = "/sys/fs/cgroup/cpuacct"
TICK = os.sysconf("SC_CLK_TCK")
AGAIN = 6  # exit status of a start-up that Slurm lost; such a run does not count


class Failure(Exception):
    """A section cannot go on."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def output(*cmd):
    """First line that a command prints; empty where there is no such command."""
    try:
        done = subprocess.run(cmd, capture_output=True, text=True)
    except OSError:
        return ""
    return (done.stdout or done.stderr).partition("\n")[0].strip()


def checked(*cmd, **more):
    """Run a command; what it printed. A failure tells all of that."""
    done = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode != 0:
        raise Failure(f"{' '.join(cmd)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


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
    with open("/proc/meminfo") as f:
        free = next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable"))
    size = min(int(size), free * 6 // 10)
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
