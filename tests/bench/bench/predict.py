"""Staging on more nodes than there are here: a simulation (tests/bench/predict) of the real shape
functions, calibrated on what the other sections measured."""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor

from . import report, svg
from .base import Failure, checked, say
from .cluster import shape_name, shape_of
from .link import even
from .report import Bar, figure, median

TITLE = "prediction"
MINUTES, QUICK_MINUTES = 3.5, 1.5
SIZES = [1, 2, 8, 48, 300, 1000, 5310, 9408, 100000]
EDISON, GOAL = 5310, 1.3
# The agent's chunks and buffers. Large runs are simulated in coarser chunks, which take longer to
# get through a tree, because a simulation of the real ones takes minutes.
CHUNK, POOL = 65536, 88 << 20
COARSE, COARSEST, LARGE = 262144, 1 << 20, 20000
TCP_SHARE = 1448 / 1514  # of a shaped link: payload of a full Ethernet frame with TCP's timestamps
# What the paper's authors published of Edison: seconds of MPI_Bcast and of unpacking at 4096 nodes,
# in figure 3, and bytes of a usual bundle.
PAPER = {"nodes": 4096, "bcast": 2.2, "untar": 11.2, "bytes": 300e6}
ARITIES = range(1, 9)  # of one tree, PBC_ARITY_MAX
# Slow nodes: share of all, factor.
SLOW = [(0.001, 10), (0.01, 2), (0.01, 10)]


class Simulator:
    def __init__(self, program):
        self.program = program

    def run(self, shape, nodes, **keys):
        text = checked(self.program, shape, str(nodes),
                       *(f"{k}={v:.9g}" for k, v in keys.items() if v is not None))
        return json.loads(text)

    def many(self, jobs):
        """Of [(shape, nodes, keys)], on all processors."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda job: self.run(job[0], job[1], **job[2]), jobs))


# --- calibration -----------------------------------------------------------------------------------


def fit_hop(sim, points):
    """The delay of a hop that fits the times measured on shaped links best: least squares of the
    relative error. With it, for each point, what was measured and what is predicted."""
    def predictions(hop):
        return sim.many([(p["shape"], p["nodes"], {
            "bytes": p["bytes"], "rate": p["rate"], "chunk": CHUNK, "pool": POOL // CHUNK,
            "latency": 0, "hop": hop}) for p in points])

    def error(hop):
        return sum((r["sent"] / p["measured"] - 1) ** 2
                   for r, p in zip(predictions(hop), points))

    low, high, golden = 0.0, 0.05, (math.sqrt(5) - 1) / 2
    for _ in range(24):
        a, b = high - golden * (high - low), low + golden * (high - low)
        if error(a) <= error(b):
            high = b
        else:
            low = a
    hop = (low + high) / 2
    for p, r in zip(points, predictions(hop)):
        p["predicted"] = r["sent"]
    return hop


def measured_points(link):
    """Of the section `link`: those of the rate with most sizes."""
    if link is None:
        return []
    rates = {}
    for p in even(link):
        shapes = {shape_of(r) for r in p["runs"]}
        rates.setdefault((p["rate"], p["mb"]), []).append({
            "nodes": p["nodes"], "rate": p["rate"] * 1e6 / 8 * TCP_SHARE, "bytes": p["mb"] * 1e6,
            "measured": median(p["runs"], "seconds"), "runs": len(p["runs"]),
            "shape": shapes.pop() if len(shapes) == 1 and None not in shapes else "pbcast"})
    return max(rates.values(), key=len, default=[])


def unpack_figures(data):
    """(bytes of the frames bundle, its unpacking in bytes of archive a second, and how much less
    than libarchive's a .tar.gz takes), with where they are from."""
    if data is None:
        return None
    runs = data["runs"]
    wall = median(runs.get("pbcast frames", []), "wall")
    ours, theirs = (median(runs.get(n, []), "wall") for n in ("pbcast gz", "bsdtar -xzf"))
    if None in (wall, ours, theirs):
        return None
    return {"bytes": data["archives"]["frames"], "rate": data["archives"]["frames"] / wall,
            "wall": wall, "gz_share": ours / theirs, "untar": theirs,
            "bytes_gz": data["archives"]["gz"]}


# --- scenarios --------------------------------------------------------------------------------------


def scenarios(unpack):
    """Networks and bundles. On Edison the rate is that which makes the published MPI_Bcast one of
    log2(n) rounds, and unpacking takes of the published time the share that pbcast takes of
    libarchive's here."""
    edison_rate = math.log2(PAPER["nodes"]) * PAPER["bytes"] / PAPER["bcast"]
    edison_unpack = PAPER["untar"] * unpack["gz_share"]
    return [
        {"name": "Edison, .tar.gz", "bytes": PAPER["bytes"], "rate": edison_rate,
         "latency": 5e-5, "unpack_rate": PAPER["bytes"] / edison_unpack, "untar": PAPER["untar"]},
        {"name": "10 Gbit/s", "bytes": unpack["bytes"], "rate": 1.25e9, "latency": 5e-5,
         "unpack_rate": unpack["rate"], "untar": unpack["untar"]},
        {"name": "100 Gbit/s", "bytes": unpack["bytes"], "rate": 1.25e10, "latency": 1e-5,
         "unpack_rate": unpack["rate"], "untar": unpack["untar"]},
        {"name": "1 Gbit/s", "bytes": unpack["bytes"], "rate": 1.25e8, "latency": 5e-5,
         "unpack_rate": unpack["rate"], "untar": unpack["untar"]}]


def best_tree(s, nodes):
    """The arity of the one tree that would be the fastest here: T(k) of core/tree.h."""
    def depth(arity):
        links, last = 0, nodes - 1
        while last > 0:
            links, last = links + 1, (last - 1) // arity
        return links

    return min(ARITIES, key=lambda k: k * s["bytes"] / s["rate"] +
               (depth(k) - 1) * (k * chunk_of(nodes) / s["rate"] + s["latency"]))


def chunk_of(nodes):
    return COARSE if nodes < LARGE else COARSEST


def keys_of(s, hop, **more):
    keys = {"bytes": s["bytes"], "rate": s["rate"], "read_rate": s["rate"],
            "latency": s["latency"], "unpack_rate": s["unpack_rate"], "hop": hop, "chunk": COARSE}
    keys.update(more)
    keys.setdefault("pool", max(2, POOL // keys["chunk"]))
    return keys


def measure(ctx, data, keep):
    sim = Simulator(ctx.programs.own("predict"))
    unpack = unpack_figures(ctx.result("unpack"))
    points = measured_points(ctx.result("link"))
    if unpack is None:
        raise Failure("there are no results of the section unpack to predict from")
    data.update(unpack=unpack, calibration=points, hop=None, scenarios=[], slow=[], chunks=[], sizes=SIZES)
    if len({p["nodes"] for p in points}) >= 2:
        data["hop"] = fit_hop(sim, points)
    hop = data["hop"] if data["hop"] is not None else 1e-4
    data["hop_used"] = hop
    keep()
    for s in scenarios(unpack):
        # the largest size takes long: of one network only
        sizes = [n for n in SIZES if n < LARGE or (s["name"] == "10 Gbit/s" and not ctx.quick)]
        s["runs"] = {}
        for name in ("pbcast", "one tree"):
            s["runs"][name] = dict(zip(map(str, sizes), sim.many(
                [(name if name == "pbcast" else str(best_tree(s, n)), n,
                  keys_of(s, hop, chunk=chunk_of(n))) for n in sizes])))
        data["scenarios"].append(s)
        keep()
        say(f"  {s['name']}: one node {s['runs']['pbcast']['1']['done']:.2f} s, {EDISON} nodes "
            f"{s['runs']['pbcast'][str(EDISON)]['done']:.2f} s")
    base = data["scenarios"][1]
    jobs = [{"share": share, "factor": factor, "handover": handover, "pool": pool}
            for share, factor in SLOW for handover, pool in ((0, POOL // COARSE), (1, POOL // COARSE))]
    results = sim.many([("pbcast", EDISON, keys_of(base, hop, slow_share=j["share"],
                                                   slow_factor=j["factor"], pool=j["pool"],
                                                   handover=j["handover"])) for j in jobs])
    data["slow"] = [dict(j, **r) for j, r in zip(jobs, results)]
    chosen = base["runs"]["pbcast"][str(EDISON)]["shape"]
    jobs = [{"chunk": kib * 1024, "shape": shape, "chosen": shape == chosen} for kib in (64, 256)
            for shape in ("1", "2", "two-tree")]
    results = sim.many([(j["shape"], EDISON, keys_of(base, hop, chunk=j["chunk"])) for j in jobs])
    data["chunks"] = [dict(j, **r) for j, r in zip(jobs, results)]
    keep()


# --- what it says -----------------------------------------------------------------------------------


def binomial(s, nodes):
    """MPI_Bcast of the whole bundle in log2(n) rounds, then unpacking."""
    rounds = math.ceil(math.log2(nodes)) if nodes > 1 else 0
    return s["bytes"] / s["rate"] + rounds * (s["bytes"] / s["rate"] + s["latency"]) + s["untar"]


def scattered(s, nodes):
    """MPI_Bcast as scatter and allgather, which large messages get: twice the bytes."""
    rounds = math.ceil(math.log2(nodes)) if nodes > 1 else 0
    steps = rounds + nodes - 1 if nodes > 1 else 0
    share = 2 * (nodes - 1) / nodes
    return s["bytes"] / s["rate"] * (1 + share) + steps * s["latency"] + s["untar"]


def calibration_text(data):
    points = sorted(data["calibration"], key=lambda p: p["nodes"])
    if data["hop"] is None:
        return ["There were no measured times to calibrate with: the delay of a hop is assumed to "
                f"be {1e6 * data['hop_used']:.0f} microseconds.", ""], None
    rows = [[str(p["nodes"]), shape_name(p["shape"]), figure(p["measured"], 3), figure(p["predicted"], 3),
             f"{100 * (p['predicted'] / p['measured'] - 1):+.1f} %", str(p["runs"])]
            for p in points]
    text = ["Calibration: links of a known rate (the section on the relay), of which TCP's share is "
            f"{TCP_SHARE:.3f}. One parameter is fitted, the delay of a hop: "
            f"**{1e3 * data['hop']:.2f} ms** here, where all nodes share the processors; it stands "
            "in all predictions below.", "",
            report.table(["nodes", "shape", "measured s", "predicted s", "error", "runs"], rows), ""]
    drawn = svg.lines("Calibration: last byte on the last node, shaped links", {
        "measured": [(p["nodes"], p["measured"]) for p in points],
        "predicted": [(p["nodes"], p["predicted"]) for p in points]}, "nodes", "seconds")
    return text, drawn


def present(data):
    text, fit = calibration_text(data)
    unpack = data["unpack"]
    text += [f"Unpacking: as measured on one node, {unpack['wall']:.2f} s for the frames of "
             f"{unpack['bytes'] / 1e6:.0f} MB; a .tar.gz in {unpack['gz_share']:.2f} of bsdtar's "
             f"time. {POOL >> 20} MiB of buffers. Simulated in "
             f"chunks of {COARSE // 1024} KiB (from {LARGE} nodes on {COARSEST // 1024} KiB), where the "
             f"agent's are of {CHUNK // 1024}: that makes long trees slower than they are. The root reads at "
             "the rate of its link. What srun and PMIx take is in none of it.", ""]
    for s in data["scenarios"]:
        runs = s["runs"]["pbcast"]
        one = runs["1"]["done"]
        rows = []
        for n in map(int, runs):
            r, tree = runs[str(n)], s["runs"]["one tree"][str(n)]
            rows.append([str(n), shape_name(r["shape"]), figure(r["done"]), figure(r["done"] / one),
                         shape_name(tree["shape"]), figure(tree["done"]), figure(tree["done"] / one),
                         figure(binomial(s, n)), figure(scattered(s, n))])
        text += [f"**{s['name']}**: {s['bytes'] / 1e6:.0f} MB, links of {s['rate'] / 1e9:.2f} GB/s, "
                 f"{1e6 * s['latency']:.0f} microseconds; unpacking {s['bytes'] / s['unpack_rate']:.2f}"
                 f" s by pbcast, {s['untar']:.2f} s by libarchive in one thread.", "",
                 report.table(["nodes", "shape", "pbcast s", "/ one node", "best of one tree",
                               "one tree s", "/ one node",
                               "MPI_Bcast, log2(n) rounds, untar", "MPI_Bcast, scatter "
                               "and allgather, untar"], rows), ""]
    text += [f"Published of Edison at {PAPER['nodes']} nodes (figure 3 of the paper): MPI_Bcast "
             f"{PAPER['bcast']} s and unpacking {PAPER['untar']} s of a step of 48.6 s. Its rate "
             "above is the one that makes this MPI_Bcast log2(n) rounds of a bundle of 300 MB, the "
             "size that the paper gives for a usual conda environment.", "",
             f"Slow nodes, {EDISON} nodes at 10 Gbit/s (links and unpacking slower by the factor; "
             "the same nodes in each row of a pair):", "", slow_table(data), "",
             f"Chunks and shapes, {EDISON} nodes at 10 Gbit/s:", "", chunk_table(data)]
    figures = {"predict-fit": fit}
    if fit is not None:
        text += ["", report.image("predict-fit", "measured and predicted")]
    for s, name in zip(data["scenarios"][:2], ("predict-edison", "predict-10g")):
        figures[name] = curves(data, s)
        text += ["", report.image(name, "predicted staging time over nodes")]
    return "\n".join(text), figures


def curves(data, s):
    sizes = [n for n in map(int, s["runs"]["pbcast"])]
    series = {name: [(n, s["runs"][name][str(n)]["done"]) for n in sizes] for name in s["runs"]}
    series["MPI_Bcast log2, untar"] = [(n, binomial(s, n)) for n in sizes]
    series["MPI_Bcast scatter, untar"] = [(n, scattered(s, n)) for n in sizes]
    if s["name"].startswith("Edison"):
        series["published: MPI_Bcast + untar"] = [(PAPER["nodes"], PAPER["bcast"] + PAPER["untar"])]
    goal = GOAL * s["runs"]["pbcast"]["1"]["done"]
    return svg.lines(f"Predicted staging, {s['name']}", series, "nodes", "seconds",
                     x_ticks=[1, 8, 48, 300, 1000, 5310, 100000] if sizes[-1] > 20000
                     else [1, 8, 48, 300, 1000, 5310],
                     log_y=True, guides=[(goal, f"{GOAL} x one node")], width=820)


def slow_table(data):
    rows = []
    for r in data["slow"]:
        rows.append([shape_name(r["shape"]), f"{100 * r['share']:g} %", f"{r['factor']:g}",
                     str(r["slow_nodes"]), "yes" if r["handover"] else "no",
                     f"{r['pool'] * COARSE >> 20} MiB",
                     figure(r["fast_done"]), figure(r["done"]), str(r["degree"])])
    return report.table(["shape", "slow", "factor", "nodes", "handover", "buffers", "the others done, s",
                         "all done, s", "most children"], rows)


def chunk_table(data):
    rows = [[f"{r['chunk'] // 1024} KiB", shape_name(r["shape"])
             + (", pbcast's choice" if r["chosen"] else ""), str(r["depth"]),
             figure(r["sent"], 3), figure(r["done"], 3)] for r in data["chunks"]]
    return report.table(["chunk", "shape", "depth", "last byte, s", "unpacked, s"], rows)


def bars(data):
    result = []
    for s in data["scenarios"]:
        runs = s["runs"]["pbcast"]
        one, many = runs["1"]["done"], runs[str(EDISON)]["done"]
        result.append(Bar(f"predicted, {EDISON} nodes, {s['name']}: transfer and unpacking against "
                          "one node", many / one, GOAL))
    return result
