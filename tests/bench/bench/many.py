"""Many-task work: short steps of one job, and elements of an array, with a set and without."""

import os
import re
import time

from . import report
from .base import WORK, Failure, Meter, say
from .cluster import Cluster
from .programs import random_archive
from .report import Bar, figure, median, ratio

TITLE = "many short steps and array elements"
MINUTES, QUICK_MINUTES = 4.2, 0.7
NODES = 4
STEPS, ELEMENTS = 1000, 500  # of each kind
BLOCK = 50  # steps, or a tenth of the elements, of one kind before the other has its turn

# Runs in the job, on its first node. The set is staged before the first line.
LOOP = r"""#!/bin/bash
for ((i = 0; i < $1; i++)); do
    srun -N1 -n1 --mpi=none --pbcast-bundle="$2" true || echo failed
done
echo "last $(srun -N1 -n1 --mpi=none --pbcast-bundle="$2" sh -c 'echo $SLURM_STEP_ID')"
"""
JOB = r"""#!/bin/bash
for ((block = 0; block < $1; block++)); do
    if ((block % 2)); then order='none set'; else order='set none'; fi
    for what in $order; do
        bundle=none
        [[ $what == none ]] || bundle=$3
        b=${EPOCHREALTIME/./}
        /shared/loop.sh "$2" "$bundle"
        echo "took $what $((${EPOCHREALTIME/./} - b))"
    done
done
"""
ELEMENT = "#!/bin/bash\ntrue\n"


def read_home(cluster, name):
    with open(os.path.join(cluster.shared, "home", "alice", name)) as f:
        return f.read()


def measure_steps(cluster, offered, blocks, size):
    """Seconds of each step, by blocks, of both kinds; how many steps the job had in all."""
    cluster.write("loop.sh", LOOP)
    script = cluster.write("many.sh", JOB)
    cluster.call("run", "sbatch", "--wait", f"-N{cluster.nodes}", "--ntasks-per-node=1",
                 f"--pbcast-bundle={offered}", "-o", "/shared/home/alice/many.out", script,
                 str(blocks), str(size), offered, timeout=900)
    text = read_home(cluster, "many.out")
    last = re.findall(r"last (\d+)", text)
    if "failed" in text or len(last) != 2 * blocks:
        raise Failure(f"a step failed:\n{text}")
    return ({what: [int(us) / 1e6 / (size + 1) for us in re.findall(rf"took {what} (\d+)", text)]
             for what in ("set", "none")}, int(last[-1]) + 1)


def measure_array(cluster, meter, bundle, elements):
    """Seconds for each element, until the last has ended."""
    script = cluster.write("element.sh", ELEMENT)
    got, status, text = cluster.timed(
        meter, ["sbatch", "--wait", "-N1", "-n1", f"--array=1-{elements}", "-o", "/dev/null",
                f"--pbcast-bundle={bundle}", script], timeout=600)
    if status != 0:
        raise Failure(f"array: exit status {status}\n{text}")
    cluster.call("wait-idle", "120")
    left = cluster.every("sh", "-c", "ls -A /dev/shm/pbcast 2>/dev/null; pgrep pbcast-stage")
    if any(text.strip() for text in left):
        raise Failure(f"left behind: {left}")
    return {key: value if value is None else value / elements for key, value in got.items()}


def measure(ctx, data, keep):
    steps, elements = (20, 20) if ctx.quick else (STEPS, ELEMENTS)
    block = min(BLOCK, steps // 2)
    cluster, meter = Cluster(ctx.name), Meter()
    data.update(nodes=NODES, steps={"set": [], "none": []}, per_block=block,
                array={"set": [], "none": []}, staging_steps=0)
    try:
        cluster.up(NODES, "--store-size", "256m", "--plugstack",
                   f"required {ctx.programs.plugin} agent={ctx.programs.agent} min_free=1M",
                   "--conf", "MaxJobCount=20000")
        offered = cluster.offer(random_archive(os.path.join(WORK, "random-1.tar"), 1))
        done = 0
        while done < steps and (done == 0 or ctx.time_for(120)):
            blocks = min(4, (steps - done) // block)
            got, all_steps = measure_steps(cluster, offered, blocks, block)
            for what, times in got.items():
                data["steps"][what].extend({"wall": t} for t in times)
            # those of srun are known, the rest are ours
            data["staging_steps"] = max(data["staging_steps"], all_steps - 2 * blocks * (block + 1))
            done += blocks * block
            cluster.call("wait-idle", "60")
            keep()
        part = max(1, elements // 10)
        for i in range(elements // part):
            began = time.monotonic()
            for what in ("set", "none") if i % 2 == 0 else ("none", "set"):
                data["array"][what].append(
                    measure_array(cluster, meter, offered if what == "set" else "none", part))
                keep()
            if not ctx.time_for(time.monotonic() - began):
                break
        data["per_array"] = part
        say("  " + ", ".join(f"{kind} {what} {1000 * median(data[kind][what], 'wall'):.0f} ms"
                             for kind in ("steps", "array") for what in ("set", "none")))
    finally:
        cluster.down()
        meter.close()


def present(data):
    rows = []
    for kind, what, label, each in (
            ("steps", "none", "`srun -n1 true` in a job, without a set", data["per_block"]),
            ("steps", "set", "the same with the set that is staged", data["per_block"]),
            ("array", "none", "an element of an array that runs `true`", data["per_array"]),
            ("array", "set", "the same; each element is a job and stages 1 MB",
             data["per_array"])):
        runs = [{"wall": 1000 * run["wall"],
                 "cpu": None if run.get("cpu") is None else 1000 * run["cpu"]}
                for run in data[kind][what]]
        rows.append([label, str(len(runs) * each), figure(median(runs, "wall"), 0),
                     report.spread(runs, "wall"), figure(median(runs, "cpu"), 0)])
    return "\n".join([
        f"{data['nodes']} nodes. Medians of blocks of {data['per_block']} steps, one after the other, "
        f"and of arrays of {data['per_array']} elements, four on a node at a time; with and without "
        f"in turn. Steps that a job has had beside those of its sruns: {data['staging_steps']}.", "",
        report.table(["", "number", "wall ms each", "least-most", "CPU ms each, all"], rows)]), {}


def bars(data):
    full = len(data["steps"]["set"]) * data["per_block"] >= 200
    return [Bar("a short step with the set that is staged against the same without",
                ratio(median(data["steps"]["set"], "wall"), median(data["steps"]["none"], "wall"))
                if full else None, 1.1, "x", len(data["steps"]["set"]) * data["per_block"])]
