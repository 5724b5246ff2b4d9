"""The tree over TCP against MPI: what carries the bundle, and how the nodes meet."""

import os
import time

from . import report
from .base import WORK, Meter, say
from .cluster import Cluster, stage_phases
from .programs import random_archive
from .report import figure, median

TITLE = "PMIx and MPI"
MINUTES, QUICK_MINUTES = 6, 1
NODES, ROUNDS, MEGABYTES = 8, 5, 100
RATES = ("off", "400mbit")
# srun's --mpi, agent, what it is told; and the same in words
WAYS = {"pmix": ("pmix", "pbcast-stage", []),
        "mpich-tree": ("pmi2", "pbcast-stage-mpich", ["--transport", "tcp"]),
        "mpich": ("pmi2", "pbcast-stage-mpich", ["--transport", "mpi"]),
        "openmpi": ("pmix", "pbcast-stage-openmpi", ["--transport", "mpi"])}
WORDS = {"pmix": "PMIx, the tree: `pbcast-stage`",
         "mpich-tree": "MPICH, the tree: `pbcast-stage-mpich --transport tcp`",
         "mpich": "MPICH, MPI: `pbcast-stage-mpich`",
         "openmpi": "Open MPI, MPI: `pbcast-stage-openmpi`"}


def attempt(ctx, cluster, meter, way, offered, lost):
    mpi, name, options = WAYS[way]
    hold = ["--hold"] if way == "pmix" else []
    command = [ctx.programs.agent.replace("pbcast-stage", name), *hold, "--verbose", "2",
               *options, offered]
    got, text = cluster.step_alone(meter, way, mpi, command, lost, 5, held=bool(hold))
    phases = stage_phases(text)
    got.update(moved=phases["total"] - phases["start"], start=phases["start"])
    return got


def measure(ctx, data, keep):
    nodes, rounds = (4, 1) if ctx.quick else (NODES, ctx.rounds or ROUNDS)
    cluster, meter = Cluster(ctx.name), Meter()
    data.update(nodes=nodes, megabytes=MEGABYTES, lost={},
                runs={rate: {way: [] for way in WAYS} for rate in RATES})
    try:
        cluster.up(nodes, "--store-size", "256m")
        offered = cluster.offer(random_archive(os.path.join(WORK, f"random-{MEGABYTES}.tar"),
                                               MEGABYTES))
        for i in range(rounds):
            began = time.monotonic()
            for rate in RATES:
                cluster.call("rate", "all", rate)
                for way in WAYS if i % 2 == 0 else reversed(WAYS):
                    data["runs"][rate][way].append(attempt(ctx, cluster, meter, way, offered,
                                                           data["lost"]))
                    keep()
            if not ctx.time_for(time.monotonic() - began):
                break
        for rate in RATES:
            say(f"  {rate}: " + ", ".join(f"{w} {median(r, 'moved'):.2f} s"
                                          for w, r in data["runs"][rate].items()))
    finally:
        cluster.down()
        meter.close()


def present(data):
    lost = ", ".join(f"{w} {c}" for w, c in data["lost"].items()) or "none"
    text = [f"{data['nodes']} nodes, a plain tar of {data['megabytes']} MB of random bytes. *data*: "
            f"from the end of the meeting to that of the last node, the tree written. Start-ups "
            f"that were lost and repeated: {lost}.", "",
            "All goes over the same links by TCP, MPI's messages too, and all nodes share the "
            "machine's processors: this compares ways to use a network, not networks. Where MPI has a "
            "fabric of its own it has that fabric's rate."]
    for rate, words in zip(RATES, ("Links unshaped", "Links of 400 Mbit/s")):
        rows = [[WORDS[way], str(len(runs)), figure(median(runs, "moved")),
                 report.spread(runs, "moved"), figure(median(runs, "wall")),
                 figure(median(runs, "cpu"))] for way, runs in data["runs"][rate].items()]
        text += ["", f"{words}:", "",
                 report.table(["nodes meet by, bundle goes by", "runs", "data s", "least-most",
                               "wall s", "CPU s, all"], rows)]
    return "\n".join(text), {}


def bars(data):
    return []
