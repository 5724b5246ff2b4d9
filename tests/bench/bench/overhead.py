"""What staging costs where there is next to nothing to send: a bundle of 1 MB on many nodes."""

import os
import re
import time

from . import report
from .base import WORK, Failure, Meter, say
from .cluster import Cluster
from .programs import random_archive
from .report import Bar, figure, median, ratio

TITLE = "overhead of a step"
MINUTES, QUICK_MINUTES = 2.8, 0.7
NODES, ROUNDS = 48, 20
STEPS = ["pmix_step", "pbcast-stage"]

# Runs in the job, on its first node: steps in turn with the set that is there and without.
LATER = r"""#!/bin/bash
for ((i = 1; i <= $1; i++)); do
    if ((i % 2)); then order='none set'; else order='set none'; fi
    for what in $order; do
        bundle=none
        [[ $what == none ]] || bundle=$2
        b=${EPOCHREALTIME/./}
        srun --mpi=none --pbcast-bundle="$bundle" true || echo "failed $what"
        echo "later $what $((${EPOCHREALTIME/./} - b))"
    done
done
"""


def measure_step(ctx, cluster, meter, name, offered, failures):
    """One step in an allocation of its own; the stores are empty."""
    command = ([ctx.programs.own("pmix_step")] if name == "pmix_step" else
               [ctx.programs.agent, "--hold", "--verbose", "2", offered])
    return cluster.step_alone(meter, name, "pmix", command, failures, 8)[0]


def measure_later(cluster, offered, rounds):
    script = cluster.write("later.sh", LATER)
    text = cluster.call("run", "sbatch", "--wait", f"-N{cluster.nodes}", "--ntasks-per-node=1",
                        f"--pbcast-bundle={offered}", "-o", "/shared/home/alice/later.out", script,
                        str(rounds), offered, timeout=600)
    with open(os.path.join(cluster.shared, "home", "alice", "later.out")) as f:
        text = f.read()
    if "failed" in text:
        raise Failure(f"a later step failed:\n{text}")
    return {what: [int(us) / 1e6 for us in re.findall(rf"later {what} (\d+)", text)]
            for what in ("set", "none")}


def measure(ctx, data, keep):
    nodes, rounds = (4, 2) if ctx.quick else (NODES, ctx.rounds or ROUNDS)
    cluster, meter = Cluster(ctx.name), Meter()
    data.update(nodes=nodes, runs={name: [] for name in STEPS}, later={}, lost={})
    try:
        cluster.up(nodes, "--store-size", "256m", "--plugstack",
                   f"required {ctx.programs.plugin} agent={ctx.programs.agent} min_free=1M")
        offered = cluster.offer(random_archive(os.path.join(WORK, "random-1.tar"), 1))
        for i in range(2):  # in two parts, so that a drift of the machine shows in both
            got = measure_later(cluster, offered, (rounds + 1) // 2)
            for what, times in got.items():
                data["later"].setdefault(what, []).extend(times)
            cluster.call("wait-idle", "60")
            keep()
        cluster.purge()
        for i in range(rounds):
            began = time.monotonic()
            for name in STEPS if i % 2 == 0 else reversed(STEPS):
                got = measure_step(ctx, cluster, meter, name, offered, data["lost"])
                data["runs"][name].append(got)
                keep()
            if not ctx.time_for(time.monotonic() - began):
                break
        say("  " + ", ".join(f"{n} {median(r, 'wall'):.2f} s" for n, r in data["runs"].items())
            + ", later " + ", ".join(f"{k} {sorted(v)[len(v) // 2]:.2f} s"
                                     for k, v in data["later"].items()))
    finally:
        cluster.down()
        meter.close()


def later(data, what):
    return [{"wall": t} for t in data["later"].get(what, [])]


def present(data):
    rows = []
    for name, runs in (("`srun --mpi=pmix`: PMIx_Init, a fence, PMIx_Finalize",
                        data["runs"]["pmix_step"]),
                       ("`srun --mpi=pmix pbcast-stage`, 1 MB", data["runs"]["pbcast-stage"]),
                       ("in a job: `srun true` without a set", later(data, "none")),
                       ("in a job: `srun true` with the set that is staged", later(data, "set"))):
        rows.append([name, str(len(runs)), figure(median(runs, "wall"), 3),
                     report.spread(runs, "wall"), figure(median(runs, "cpu"), 2)])
    lost = ", ".join(f"{n} {c}" for n, c in data["lost"].items()) or "none"
    return "\n".join([
        f"{data['nodes']} nodes. The tasks of both kinds of PMIx step begin their fence when all have "
        f"started. Steps that Slurm's PMIx lost and that were repeated: {lost}.", "",
        report.table(["", "runs", "wall s", "least-most", "CPU s, all"], rows)]), {}


def bars(data):
    full = data["nodes"] == NODES
    runs = data["runs"]
    return [Bar(f"{NODES} nodes, staging of 1 MB against a PMIx step",
                ratio(median(runs["pbcast-stage"], "wall"), median(runs["pmix_step"], "wall"))
                if full else None, 1.5, "x", len(runs["pbcast-stage"])),
            Bar(f"{NODES} nodes, a later step with the set against the same without",
                ratio(median(later(data, "set"), "wall"), median(later(data, "none"), "wall"))
                if full else None, 1.1, "x", len(data["later"].get("set", [])))]
