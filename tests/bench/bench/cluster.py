"""The test cluster (container/cluster) as the benchmarks use it."""

import os
import re
import shutil
import signal
import subprocess
import threading

from .base import TOP, Failure, Meter

SHARE = "/run/bench-share"  # where nodes mount the shared file system's volume

# Starts a GlusterFS server and a volume on the node that runs it; its state is the node's alone.
GLUSTER = r"""
set -e
mkdir -p /run/gluster/{state,log,brick}
mount --bind /run/gluster/state /var/lib/glusterd
mount --bind /run/gluster/log /var/log/glusterfs
mount -t tmpfs -o size=2g brick /run/gluster/brick
mkdir /run/gluster/brick/data
glusterd --pid-file=/run/gluster/pid --log-file=/run/gluster/log/glusterd
for i in $(seq 100); do gluster volume info >/dev/null 2>&1 && break; sleep 0.1; done
gluster --mode=script volume create bench ctl:/run/gluster/brick/data force
gluster --mode=script volume start bench
"""


class Cluster:
    def __init__(self, name):
        self.base = [os.path.join(TOP, "container", "cluster"), "--name", name]
        self.nodes = 0
        self.volume = False

    def call(self, *args, check=True, **more):
        done = subprocess.run(self.base + list(args), text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
        if check and done.returncode != 0:
            raise Failure(f"cluster {' '.join(args)}: exit status {done.returncode}\n"
                          f"{done.stdout}")
        return done.stdout

    def up(self, nodes, *args):
        self.down()
        self.nodes = nodes
        self.volume = False
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

    def write(self, name, text):
        with open(os.path.join(self.shared, name), "w") as f:
            f.write(text)
        os.chmod(os.path.join(self.shared, name), 0o755)
        return "/shared/" + name

    def every(self, *cmd):
        """Run on all nodes at once; what each printed."""
        running = [subprocess.Popen(self.base + ["exec", f"n{i + 1}", *cmd], text=True,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL) for i in range(self.nodes)]
        return [p.communicate()[0] for p in running]

    def shape(self, rate, burst):
        """What the nodes send: no more than `burst` at once above the rate."""
        self.every("tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate,
                   "burst", burst, "latency", "50ms")

    def purge(self):
        self.every("find", "/dev/shm", "/tmp", "-mindepth", "1", "-delete")

    # --- a real shared file system

    def make_volume(self, archive):
        """A GlusterFS volume, served by the controller from its memory, with the archive
        unpacked."""
        self.call("exec", "ctl", "bash", "-c", GLUSTER)
        self.volume = True
        self.mount(["n1"])
        self.call("exec", "n1", "tar", "-C", SHARE, "-xf", archive)
        self.call("exec", "n1", "umount", SHARE)

    def mount(self, names=None):
        """Mount the volume on all nodes (or those named) anew, so that nothing is cached there."""
        script = (f"mkdir -p {SHARE}; umount {SHARE} 2>/dev/null; "
                  f"mount -t glusterfs -o log-file=/run/mount.log ctl:/bench {SHARE} && "
                  f"mountpoint -q {SHARE} && echo ok")
        if names is None:
            got = self.every("bash", "-c", script)
        else:
            got = [self.call("exec", name, "bash", "-c", script) for name in names]
        if any("ok" not in text for text in got):
            raise Failure(f"the GlusterFS volume was not mounted: {got}")

    def served(self):
        """Requests that the server has had since this was last asked, by kind."""
        text = self.call("exec", "ctl", "gluster", "volume", "profile", "bench", "info",
                         "incremental", check=False)
        return {name: int(calls) for calls, name in
                re.findall(r"(\d+)\s+([A-Z]{3,})\s*$", text, re.M)}

    # --- jobs

    def allocate(self):
        """A job over all nodes, in which steps can be run; its id."""
        text = self.call("run", "salloc", "-N", str(self.nodes), "--no-shell")
        got = re.search(r"Granted job allocation (\d+)", text)
        if got is None:
            raise Failure(f"no allocation: {text}")
        return got.group(1)

    def release(self, job):
        self.call("run", "scancel", job, check=False)  # the job may have ended by itself
        self.call("wait-idle", "120")

    def timed(self, meter, cmd, timeout=300, held=0):
        """Run a command as the user on the login node: (measured, status, what it printed). So many
        tasks are `held`: they wait for "pbcast: go" once all have said that they are here, as the plugin
        has it (stage/start.h)."""
        child = subprocess.Popen(self.base + ["run", *cmd], text=True,
                                 stdin=subprocess.PIPE if held else subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        then = meter.read()
        late = threading.Event()
        timer = threading.Timer(timeout, lambda: (late.set(), child.send_signal(signal.SIGTERM)))
        timer.start()
        text = []
        for line in child.stdout:
            if held and line == "pbcast: here\n":
                held -= 1
                if held == 0:
                    child.stdin.write("pbcast: go\n")
                    child.stdin.flush()
            else:
                text.append(line)
        status = child.wait()
        timer.cancel()
        return Meter.since(then, meter.read()), "timeout" if late.is_set() else status, "".join(text)

    def step_alone(self, meter, name, mpi, command, lost, tries, held=True):
        """A step over all nodes in an allocation of its own, with empty stores: (measured, what it
        printed). Its tasks are `held`, see timed. One whose start Slurm has lost is repeated, and
        counted in lost[name]."""
        for _ in range(tries):
            job = self.allocate()
            try:
                got, status, text = self.timed(meter, step(job, self.nodes, mpi, *command),
                                               held=self.nodes if held and self.nodes > 1 else 0)
            finally:
                self.release(job)
                self.purge()
            if status == 0:
                return got, text
            lost[name] = lost.get(name, 0) + 1
            if not start_lost(status, text):
                raise Failure(f"{name}: exit status {status}\n{text}")
        raise Failure(f"{name}: start-up lost {tries} times")


def step(job, nodes, mpi, *cmd):
    """A step with a task on each node of a job."""
    return ["srun", f"--jobid={job}", f"-N{nodes}", f"-n{nodes}", "--ntasks-per-node=1",
            f"--mpi={mpi}", *cmd]


def start_lost(status, text):
    """Whether Slurm's PMIx lost the start-up of a step; or Open MPI 4.1 did: now and then its
    MPI_Init crashes, called by srun --mpi=pmix, where a peer's first message finds it in a fence."""
    return (status == 6 or "did not start" in text or "Unauthorized credential" in text
            or (status == 139 and "Open MPI failed to TCP connect" in text))


PHASES = re.compile(r"in ([\d.]+) s \(((?:[a-z]+ [\d.]+(?:, )?)+)\)")
SHAPE = re.compile(r"through (?:a tree of arity (\d+)|two trees),")
SLOWEST = re.compile(r"slowest node (\S+) with ([\d.]+) s")


def stage_phases(text):
    """The figures that pbcast-stage --verbose 2 prints."""
    phases = {}
    got = PHASES.search(text)
    if got is not None:
        phases["total"] = float(got.group(1))
        for word in got.group(2).split(", "):
            name, value = word.split(" ")
            phases[name] = float(value)
    got = SHAPE.search(text)
    if got is not None:
        phases["shape"] = got.group(1) or "two-tree"
    got = SLOWEST.search(text)
    if got is not None:
        phases.update(slowest_node=got.group(1), slowest=float(got.group(2)))
    return phases


def shape_of(run):
    """Who sent to whom in a run, in a word of the program predict; None if it did not say so."""
    shape = run["phases"].get("shape", run["phases"].get("arity"))  # arity: older results
    return None if shape is None else str(shape)


def shape_name(shape):
    names = {None: "-", "1": "chain", "2": "binary tree", "two-tree": "two trees"}
    return names.get(shape, f"tree of arity {shape}")


def root_of(job):
    """Shell text: the tree that pbcast-stage, started by hand, has staged."""
    return f"$(m=$(echo /dev/shm/pbcast-*/{job}/*.manifest); echo ${{m%.manifest}})"


