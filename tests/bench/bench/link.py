"""The relay on links of a known rate, with a bundle that cannot be compressed: how close does the
last node come to bytes / rate? And what does one slow node do to the others?

Time runs from just before the root's first read until the last write of a node, by the times of
the staged tree: the birth of its directory on the root and the last change of the file on every
node.

What a node sends may not burst: a relay that waits for a whole chunk before it passes it on is
slow on a real link, and a shaper that lets a chunk through at once would hide it."""

import os
import re
import time

from . import report, svg
from .base import WORK, Failure, Meter, load, say, warm
from .cluster import Cluster, shape_name, shape_of, stage_phases, start_lost, step
from .programs import random_archive
from .report import Bar, figure, median, ratio

TITLE = "the relay on links of a known rate"
MINUTES, QUICK_MINUTES = 5, 0.8
BURST = "80kb"  # the shaper's least: the kernel hands over packets of up to 64 KiB
# (nodes, rate, MB, rank of a node with a tenth of it, rounds, the agents' --tree; None: their choice,
# a chain for so few nodes)
POINTS = [(8, 400, 100, None, 3, None), (16, 400, 100, None, 3, None), (48, 100, 25, None, 3, None),
          (8, 400, 100, None, 3, "two"), (16, 400, 100, None, 3, "two"),
          (48, 100, 25, None, 3, "two"), (8, 400, 100, 3, 2, None), (16, 400, 100, 4, 2, "two"),
          (16, 400, 100, None, 1, "2"),
          (2, 100, 25, None, 1, None), (4, 100, 25, None, 1, None), (8, 100, 25, None, 1, None),
          (16, 100, 25, None, 1, None), (32, 100, 25, None, 1, None)]
QUICK = [(4, 100, 25, None, 1, None), (4, 100, 25, 2, 1, None), (4, 100, 25, None, 1, "two")]
BARS = {(8, 400): 1.25, (16, 400): 1.25, (48, 100): 1.4}


def node_times(cluster, job):
    """Seconds from the making of the tree on the root to the last write, by node."""
    tree = f"/dev/shm/pbcast-*/{job}/*/"
    times = cluster.every("bash", "-c", f"stat -c %.9W {tree} && stat -c %.9Z {tree}random")
    began = float(times[0].split()[0])
    return [float(t.split()[1]) - began for t in times]


def measure_run(ctx, cluster, meter, offered, floor, size, tree):
    for lost in range(5):
        cluster.purge()
        job = cluster.allocate()
        warm(2 * cluster.nodes * size)
        before = load()
        try:
            got, status, text = cluster.timed(
                meter, step(job, cluster.nodes, "pmix", ctx.programs.agent, "--hold",
                            "--verbose", "2", *(["--tree", tree] if tree else []), offered), held=cluster.nodes)
            nodes = node_times(cluster, job) if status == 0 else None
        finally:
            cluster.release(job)
        if status == 0:
            got.update(nodes=nodes, seconds=max(nodes), phases=stage_phases(text), floor=floor,
                       lost=lost, busy=got["cpu_machine"] / got["wall"] / os.cpu_count(),
                       load=[before, load()], summary=text)
            return got
        if not start_lost(status, text):
            raise Failure(f"exit status {status}\n{text}")
    raise Failure("start-up lost five times")


def measure_point(ctx, point, keep):
    nodes, rate, megabytes, slow = (point[k] for k in ("nodes", "rate", "mb", "slow"))
    archive = random_archive(os.path.join(WORK, f"random-{megabytes}.tar"), megabytes)
    size = os.path.getsize(archive)
    cluster, meter = Cluster(ctx.name), Meter()
    try:
        cluster.up(nodes, "--rate", f"{rate}mbit")
        cluster.shape(f"{rate}mbit", BURST)
        if slow is not None:
            cluster.call("rate", f"n{slow + 1}", f"{rate // 10}mbit")
        offered = cluster.offer(archive)
        for i in range(point["rounds"]):
            if i > 0 and not ctx.time_for(took):
                break
            began = time.monotonic()
            got = measure_run(ctx, cluster, meter, offered, 8 * size / (rate * 1e6), size,
                              point["tree"])
            point["runs"].append(got)
            keep()
            took = time.monotonic() - began
            say(f"  {nodes} nodes, {rate} Mbit/s, {megabytes} MB, slow {slow}, "
                f"{shape_name(got['phases'].get('shape'))}: {got['seconds']:.2f} "
                f"s, floor {got['floor']:.2f} s, busy {100 * got['busy']:.0f} %")
    finally:
        cluster.down()
        meter.close()


def measure(ctx, data, keep):
    data.update(points=[], left_out=[])
    failed = []
    for nodes, rate, megabytes, slow, rounds, tree in QUICK if ctx.quick else POINTS:
        if not ctx.time_for(10):
            data["left_out"].append([nodes, rate, megabytes])
            continue
        point = {"nodes": nodes, "rate": rate, "mb": megabytes, "slow": slow, "tree": tree,
                 "rounds": ctx.rounds or rounds, "runs": []}
        data["points"].append(point)
        try:
            measure_point(ctx, point, keep)
        except Failure as why:
            say(f"    {nodes} nodes: {why}")
            failed.append(f"{nodes} nodes: {why}")
    if failed:
        raise Failure("; ".join(failed))


def even(data):
    return [p for p in data["points"] if p["slow"] is None and p["runs"]]


def rest(point, run):
    """The time of the nodes that are not slow."""
    return max(t for i, t in enumerate(run["nodes"]) if i != point["slow"])


def slow_pairs(data):
    """(point with a slow node, the same without)."""
    for point in data["points"]:
        if point["slow"] is None or not point["runs"]:
            continue
        same = [p for p in even(data) if all(p.get(k) == point.get(k) for k in ("nodes", "rate", "mb", "tree"))]
        if same:
            yield point, same[0]


def present(data):
    rows = [[str(p["nodes"]), f"{p['rate']} Mbit/s", str(p["mb"]),
             "/".join(sorted({shape_name(shape_of(r)) for r in p["runs"]})),
             str(len(p["runs"])), figure(median(p["runs"], "floor")),
             figure(median(p["runs"], "seconds")), report.spread(p["runs"], "seconds"),
             figure(ratio(median(p["runs"], "seconds"), median(p["runs"], "floor"))),
             f"{100 * median(p['runs'], 'busy'):.0f} %"] for p in even(data)]
    text = [report.table(["nodes", "links", "MB", "shape", "runs", "floor s", "measured s",
                          "least-most", "measured / floor", "processors busy"], rows), ""]
    rows = []
    for point, same in slow_pairs(data):
        runs = [{"rest": rest(point, r), "own": r["nodes"][point["slow"]],
                 "before": max(r["nodes"][:point["slow"]])} for r in point["runs"]]
        named = sum(f"n{point['slow'] + 1}" == r["phases"].get("slowest_node")
                    for r in point["runs"])
        rows.append([str(point["nodes"]), f"{point['rate']} Mbit/s", str(point["mb"]),
                     "/".join(sorted({shape_name(shape_of(r)) for r in point["runs"]})),
                     f"n{point['slow'] + 1}", str(len(runs)),
                     figure(median(same["runs"], "seconds")), figure(median(runs, "own")),
                     figure(median(runs, "before")), figure(median(runs, "rest")),
                     f"{named} of {len(runs)}"])
    if rows:
        text += ["One node with a tenth of the rate, both ways:", "",
                 report.table(["nodes", "links", "MB", "shape", "slow", "runs", "all, no node slow, s",
                               "the slow one, s", "those before it, s", "all others, s",
                               "summary names it"], rows), ""]
    for nodes, rate, megabytes in data["left_out"]:
        text += [f"Not measured for want of time: {nodes} nodes, {rate} Mbit/s, {megabytes} MB.", ""]
    series = {}
    for p in even(data):
        if p.get("tree") not in (None, "two"):
            continue
        series.setdefault(f"{p['rate']} Mbit/s, {p['mb']} MB"
                          + (", two trees" if p.get("tree") else ""), []).append(
            (p["nodes"], ratio(median(p["runs"], "seconds"), median(p["runs"], "floor"))))
    drawn = svg.lines("Time until the last node has the last byte, against bytes / rate", series,
                      "nodes", "measured / floor", guides=[(1.25, "1.25"), (1.0, "floor")])
    return "\n".join(text + [report.image("link", "measured against the floor")]), {"link": drawn}


def bars(data):
    result = []
    for (nodes, rate), most in BARS.items():
        for tree in (None, "two"):
            found = [p for p in even(data)
                     if (p["nodes"], p["rate"], p.get("tree")) == (nodes, rate, tree)]
            runs = found[0]["runs"] if found else []
            shape = shape_name(shape_of(runs[0])) if runs else tree
            result.append(Bar(f"links of {rate} Mbit/s, {nodes} nodes, {shape}: against bytes / "
                              "rate", ratio(median(runs, "seconds"), median(runs, "floor")), most,
                              "x", len(runs)))
    for point, same in slow_pairs(data):
        others = median([{"v": rest(point, r)} for r in point["runs"]], "v")
        shape = shape_name(shape_of(point["runs"][0]))
        result.append(Bar(f"a node of a tenth of the rate, {point['nodes']} nodes, {shape}: the "
                          "others' time against the time without it",
                          ratio(others, median(same["runs"], "seconds")), 1.25, "x",
                          len(point["runs"])))
    return result
