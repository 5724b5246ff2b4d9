"""What it costs a node to pass a bundle on, beside a process that only moves bytes."""

import os
import re
import shutil

from . import report
from .agents import Agents
from .base import WORK, checked, say, warm
from .programs import random_archive
from .report import Bar, figure, median

TITLE = "cost of the relay"
MINUTES, QUICK_MINUTES = 0.4, 0.6
ROUNDS = 5
CASES = ["middle", "last", "copy", "splice"]


def measure(ctx, data, keep):
    """Three agents in a chain; the first two have the set, so that the middle one receives and
    sends, and nothing else; the last would unpack, so it has it too in the second case."""
    megabytes = 100 if ctx.quick else 500
    source = random_archive(os.path.join(WORK, f"random-{megabytes}.tar"), megabytes)
    archive = f"/dev/shm/pbcast-bench-relay-{os.getpid()}.tar"
    shutil.copy(source, archive)
    agents = Agents(ctx.programs.own("bench-agent"), 3)
    data.update(megabytes=megabytes, runs={name: [] for name in CASES})
    try:
        agents.start([archive])
        agents.wait()
        for i in range(1 if ctx.quick else ctx.rounds or ROUNDS):
            order = CASES[1:] if i % 2 == 0 else CASES[:0:-1]
            for name in order:
                if name == "last":
                    agents.empty(2)
                    warm(megabytes * 2e6)
                    agents.start([archive])
                    got = agents.wait()
                    data["runs"]["middle"].append(got[1])
                    data["runs"]["last"].append(got[2])
                else:
                    text = checked(ctx.programs.own("tcp_relay"), name, str(megabytes))
                    wall, cpu = re.search(r"wall ([\d.]+) cpu ([\d.]+)", text).groups()
                    data["runs"][name].append({"wall": float(wall), "cpu": float(cpu)})
                keep()
        say("  " + ", ".join(f"{n} {1000 * median(r, 'cpu') / megabytes:.2f} CPU s/GB"
                             for n, r in data["runs"].items()))
    finally:
        agents.close()
        os.unlink(archive)


def per_gb(data, name):
    cpu = median(data["runs"].get(name, []), "cpu")
    return None if cpu is None else 1000 * cpu / data["megabytes"]


def present(data):
    labels = {"middle": "pbcast-stage that has the set: receives and sends to one child",
              "last": "pbcast-stage that has no child: receives, checks and writes one file",
              "copy": "`tcp_relay copy`: read and write, 256 KiB at a time",
              "splice": "`tcp_relay splice`"}
    rows = [[labels[name], str(len(runs)), figure(per_gb(data, name)),
             report.spread([{"v": 1000 * r["cpu"] / data["megabytes"]} for r in runs], "v")]
            for name, runs in data["runs"].items()]
    return "\n".join([
        f"A chain of three processes on this machine, {data['megabytes']} MB over its loopback. CPU "
        "seconds of the one process for each GB that it relays to one child; what interrupts do for "
        "it is not in it, on either side.", "",
        report.table(["", "runs", "CPU s / GB", "least-most"], rows)]), {}


def bars(data):
    ours, floor = per_gb(data, "middle"), per_gb(data, "copy")
    return [Bar("relay: CPU s for each GB and child beyond plain TCP (read and write)",
                None if ours is None or floor is None else max(0, ours - floor), 0.15, "s",
                len(data["runs"]["middle"]))]
