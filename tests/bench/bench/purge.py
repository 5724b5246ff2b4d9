"""Removing what was staged: by the epilog when a job ends, and by hand."""

import time

from . import report
from .base import Failure, Meter, say, warm
from .cluster import Cluster, step
from .report import figure, median

TITLE = "the purge"
MINUTES, QUICK_MINUTES = 0.5, 0.6
NODES, ROUNDS = 8, 5
CASES = ["nothing staged", "epilog", "srun rm -rf"]


def measure_case(cluster, meter, name, archive, size):
    """Seconds from the end of the job, or the start of the step, until all is gone."""
    cluster.purge()
    job = cluster.allocate()
    try:
        if name != "nothing staged":
            warm(cluster.nodes * size * 1.3)
            _, status, text = cluster.timed(
                meter, step(job, cluster.nodes, "none", f"--pbcast-bundle={archive}", "true"))
            if status != 0:
                raise Failure(f"{name}: exit status {status}\n{text}")
        if name == "srun rm -rf":
            got, status, text = cluster.timed(
                meter, step(job, cluster.nodes, "none", "--pbcast-bundle=none", "sh", "-c",
                            f"rm -rf /dev/shm/pbcast/{job}/*"))
            if status != 0:
                raise Failure(f"{name}: exit status {status}\n{text}")
            return got
        then = meter.read()
        cluster.release(job)
        got = Meter.since(then, meter.read())
        left = cluster.every("find", "/dev/shm/pbcast", "-mindepth", "1", "-maxdepth", "1")
        if any(text.strip() for text in left):
            raise Failure(f"{name}: left behind: {left}")
        return got
    finally:
        cluster.release(job)


def measure(ctx, data, keep):
    nodes = 2 if ctx.quick else NODES
    files, size = ctx.bundles.size("tier1")
    cluster, meter = Cluster(ctx.name), Meter()
    data.update(nodes=nodes, files=files, bytes=size, runs={name: [] for name in CASES})
    try:
        cluster.up(nodes, "--plugstack",
                   f"required {ctx.programs.plugin} agent={ctx.programs.agent}")
        archive = cluster.offer(ctx.bundles.path("tier1", "frames"))
        for i in range(1 if ctx.quick else ctx.rounds or ROUNDS):
            began = time.monotonic()
            for name in CASES if i % 2 == 0 else reversed(CASES):
                got = measure_case(cluster, meter, name, archive, size)
                data["runs"][name].append(got)
                keep()
                say(f"  {name}: {got['wall']:.2f} s, {figure(got['cpu'])} CPU s")
            if not ctx.time_for(time.monotonic() - began):
                break
    finally:
        cluster.down()
        meter.close()


def present(data):
    labels = {"nothing staged": "end of a job without a set, until its nodes are idle",
              "epilog": "the same with the set staged: the epilog removes it",
              "srun rm -rf": "a step of `rm -rf` instead"}
    rows = [[labels[name], str(len(runs)), figure(median(runs, "wall")),
             report.spread(runs, "wall"), figure(median(runs, "cpu"))]
            for name, runs in data["runs"].items()]
    return "\n".join([
        f"{data['nodes']} nodes, {data['files']} files and {data['bytes'] / 1e6:.0f} MB on each.",
        "", report.table(["", "runs", "wall s", "least-most", "CPU s, all nodes"], rows)]), {}


def bars(_):
    return []
