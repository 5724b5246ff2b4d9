"""What it costs in a job to change the application alone, over a large bundle that is staged."""

import os
import re

from . import report
from .base import Failure, say
from .cluster import Cluster
from .report import Bar, figure, median

TITLE = "layers"
MINUTES, QUICK_MINUTES = 2.5, 1
NODES, ROUNDS = 8, 8
BUNDLE = "large"
STEPS = ["none", "set", "changed"]
LABELS = {"first": "the first step, which stages all",
          "none": "`srun true` without a set",
          "set": "`srun true` with the set that is staged",
          "changed": "`srun true` after a change of the application"}

# Runs in the job, on its first node. The application is a directory, packed on the fly.
JOB = r"""#!/bin/bash
app=$HOME/app
mkdir -p $app/pkg
for i in {1..50}; do echo "x = $i" >$app/pkg/m$i.py; done
timed() { # WHAT OPTION...
    local what=$1 began=${EPOCHREALTIME/./} out
    shift
    out=$(srun --mpi=none --pbcast-verbose=1 "$@" true 2>&1) || echo "failed $what: $out"
    local us=$((${EPOCHREALTIME/./} - began))
    echo "step $what $us $(grep -o 'in [0-9.]* s' <<<"$out" | tr -dc 0-9.)"
}
timed first --pbcast-bundle=$1
timed warm --pbcast-bundle=$1 --pbcast-mirror=$app
for ((i = 1; i <= $2; i++)); do
    timed none --pbcast-bundle=none
    echo "changed = $i" >$app/main.py
    timed changed --pbcast-bundle=$1 --pbcast-mirror=$app
    timed set --pbcast-bundle=$1 --pbcast-mirror=$app
done
"""


def measure(ctx, data, keep):
    nodes, rounds = (2, 2) if ctx.quick else (NODES, ctx.rounds or ROUNDS)
    files, size = ctx.bundles.size(BUNDLE)
    data.update(nodes=nodes, files=files, bytes=size,
                archive=ctx.bundles.archive_size(BUNDLE, "frames"), steps={})
    cluster = Cluster(ctx.name)
    try:
        cluster.up(nodes, "--store-size", "2g", "--plugstack",
                   f"required {ctx.programs.plugin} agent={ctx.programs.agent}")
        script = cluster.write("layers.sh", JOB)
        cluster.call("run", "sbatch", "--wait", f"-N{nodes}", "--ntasks-per-node=1", "-o",
                     "/shared/home/alice/layers.out", script,
                     cluster.offer(ctx.bundles.path(BUNDLE, "frames")), str(rounds), timeout=300)
        with open(os.path.join(cluster.shared, "home", "alice", "layers.out")) as f:
            text = f.read()
        if "failed" in text:
            raise Failure(f"a step failed:\n{text}")
        for what, us, staged in re.findall(r"^step (\w+) (\d+) ([\d.]*)$", text, re.M):
            data["steps"].setdefault(what, []).append(
                {"wall": int(us) / 1e6, "staged": float(staged) if staged else None})
        keep()
        say("  " + ", ".join(f"{w} {median(r, 'wall'):.2f} s" for w, r in data["steps"].items()))
    finally:
        cluster.down()


def present(data):
    rows = [[LABELS[what], str(len(runs)), figure(median(runs, "wall")),
             report.spread(runs, "wall"), figure(median(runs, "staged"))]
            for what, runs in sorted(data["steps"].items(),
                                     key=lambda item: list(LABELS).index(item[0])
                                     if item[0] in LABELS else 99) if what in LABELS]
    return "\n".join([
        f"{data['nodes']} nodes. A bundle of {data['files']} files, {data['bytes'] / 1e6:.0f} MB "
        f"({data['archive'] / 1e6:.0f} MB packed), and over it a directory of 51 files that is "
        "packed on the fly (`--pbcast-mirror`), one of which changes before each step: the new set "
        "begins as a copy of the bundle's tree by hard links on each node. *staged* is what the "
        "agents say.", "",
        report.table(["step", "runs", "wall s", "least-most", "staged, s"], rows)]), {}


def bars(data):
    runs = data["steps"].get("changed", [])
    size = f"{data['bytes'] / 1e6:.0f} MB"
    return [Bar(f"{NODES} nodes, {size} staged: staging a changed application",
                median(runs, "staged") if data["nodes"] == NODES else None, 1, "s", len(runs))]
