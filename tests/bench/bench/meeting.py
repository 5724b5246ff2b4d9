"""PMIx against MPI: agents that meet by either, and MPI itself as transport."""

import os
import re
import time

from . import report
from .base import WORK, Meter, say
from .cluster import Cluster, stage_phases
from .programs import random_archive
from .report import figure, median

TITLE = "PMIx and MPI"
MINUTES, QUICK_MINUTES = 2, 0.5
NODES, ROUNDS, MEGABYTES = 8, 7, 100
WAYS = {"pmix": ("pmix", "pbcast-stage"), "pmi2": ("pmi2", "pbcast-stage-mpich"),
        "transport": ("pmi2", "mpi_bcast")}


def attempt(ctx, cluster, meter, way, offered, lost):
    mpi, name = WAYS[way]
    hold = ["--hold"] if mpi == "pmix" else []
    command = ([ctx.programs.own(name), offered] if way == "transport" else
               [ctx.programs.agent.replace("pbcast-stage", name), *hold, "--verbose", "2", offered])
    got, text = cluster.step_alone(meter, way, mpi, command, lost, 5, held=bool(hold))
    if way == "transport":
        got["moved"] = float(re.search(r"mpi_bcast: ([\d.]+) s", text).group(1))
    else:
        phases = stage_phases(text)
        got.update(moved=phases["total"] - phases["start"], start=phases["start"])
    return got


def measure(ctx, data, keep):
    nodes, rounds = (4, 1) if ctx.quick else (NODES, ctx.rounds or ROUNDS)
    cluster, meter = Cluster(ctx.name), Meter()
    data.update(nodes=nodes, megabytes=MEGABYTES, runs={way: [] for way in WAYS}, lost={})
    try:
        cluster.up(nodes, "--store-size", "256m")
        offered = cluster.offer(random_archive(os.path.join(WORK, f"random-{MEGABYTES}.tar"),
                                               MEGABYTES))
        for i in range(rounds):
            began = time.monotonic()
            for way in WAYS if i % 2 == 0 else reversed(WAYS):
                data["runs"][way].append(attempt(ctx, cluster, meter, way, offered, data["lost"]))
                keep()
            if not ctx.time_for(time.monotonic() - began):
                break
        say("  " + ", ".join(f"{w} {median(r, 'wall'):.2f} s" for w, r in data["runs"].items()))
    finally:
        cluster.down()
        meter.close()


def present(data):
    rows = []
    for way, words in (("pmix", "`srun --mpi=pmix pbcast-stage`"),
                       ("pmi2", "`srun --mpi=pmi2 pbcast-stage-mpich`"),
                       ("transport", "MPI_Ibcast in chunks (MPICH), nothing written")):
        runs = data["runs"][way]
        rows.append([words, str(len(runs)), figure(median(runs, "wall")),
                     report.spread(runs, "wall"), figure(median(runs, "moved")),
                     figure(median(runs, "cpu"))])
    lost = ", ".join(f"{w} {c}" for w, c in data["lost"].items()) or "none"
    return "\n".join([
        f"{data['nodes']} nodes, a plain tar of {data['megabytes']} MB of random bytes. *data*: from "
        f"the end of the meeting to that of the last node; the agents also write the tree, the "
        f"broadcast throws its bytes away. Start-ups that were lost and repeated: {lost}.", "",
        "The first two lines compare: one engine, two ways to meet. The third is no measure of MPI on "
        "a cluster. Its ranks poll without rest, and here more of them than processors share one "
        "machine; on nodes and links of their own it may well be the fastest.", "",
        report.table(["", "runs", "wall s", "least-most", "data s", "CPU s, all"], rows)]), {}


def bars(data):
    return []
