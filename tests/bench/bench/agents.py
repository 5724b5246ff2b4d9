"""Runs of real agents on this machine without Slurm: processes that meet in a directory
(tests/unit/engine_agent.c). Each has a store of its own in memory."""

import os
import shutil
import subprocess
import time

from .base import Failure

JOB = "1"
BASE = f"/dev/shm/pbcast-bench-{os.getpid()}"


class Agents:
    """`size` agents with stores BASE/n<rank>/<job>."""

    def __init__(self, program, size):
        self.program, self.size = program, size
        self.runs = 0
        self.child = {}
        shutil.rmtree(BASE, ignore_errors=True)
        for rank in range(size):
            self.empty(rank)

    def close(self):
        for child in self.child.values():
            child.kill()
            child.wait()
        shutil.rmtree(BASE, ignore_errors=True)

    @staticmethod
    def store(rank):
        return os.path.join(BASE, f"n{rank}")

    def job(self, rank):
        return os.path.join(self.store(rank), JOB)

    def empty(self, rank):
        """As a fresh node: the job's directory, and nothing in it."""
        shutil.rmtree(self.store(rank), ignore_errors=True)
        os.makedirs(self.job(rank))
        os.chmod(self.job(rank), 0o700)

    def start(self, bundles, *args):
        meet = os.path.join(BASE, f"meet-{self.runs}")
        os.mkdir(meet)
        self.runs += 1
        self.meet = meet
        base = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "PBC_"))}
        self.began = time.monotonic()
        for rank in range(self.size):
            more = {"PBC_LOCAL_DIR": meet, "PBC_LOCAL_RANK": str(rank),
                    "PBC_LOCAL_SIZE": str(self.size), "SLURM_STEP_NUM_TASKS": str(self.size),
                    "SLURMD_NODENAME": f"node{rank}"}
            with open(os.path.join(meet, f"{rank}.words"), "w") as words:
                self.child[rank] = subprocess.Popen(
                    [self.program, "--store", self.store(rank), "--job", JOB, "--address", "lo",
                     "--progress", "none", "--min-free", "0", "--verbose", "2", *args, *bundles],
                    env=dict(base, **more), stdin=subprocess.DEVNULL, stdout=words, stderr=words)

    def words(self, rank=0):
        with open(os.path.join(self.meet, f"{rank}.words")) as f:
            return f.read()

    def wait(self):
        """Until all have ended: for each rank its wall seconds since the start, CPU seconds and
        greatest resident size. One that failed fails the run."""
        got = {}
        by_pid = {child.pid: rank for rank, child in self.child.items()}
        while len(got) < self.size:
            pid, status, used = os.wait4(-1, 0)
            rank = by_pid.get(pid)
            if rank is None:
                continue
            self.child.pop(rank).returncode = os.waitstatus_to_exitcode(status)
            got[rank] = {"wall": time.monotonic() - self.began,
                         "cpu": used.ru_utime + used.ru_stime, "user": used.ru_utime,
                         "system": used.ru_stime, "rss_mb": used.ru_maxrss / 1024,
                         "status": os.waitstatus_to_exitcode(status)}
        failed = [rank for rank, g in got.items() if g["status"] != 0]
        if failed:
            raise Failure(f"{len(failed)} of {self.size} agents failed, rank {min(failed)} with "
                          f"{got[min(failed)]['status']}: {self.words(min(failed)) or self.words()}")
        return got
