# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""Checks a file against the rules of the Trace Event Format (Chromium project, 2016): phases and the fields each one needs,
spans that nest, asynchronous events that come in pairs, flows that begin before they go on and lie within a span."""
import collections
import json

NEEDS = {"X": {"name", "ts", "dur", "pid", "tid"}, "b": {"name", "cat", "id", "ts", "pid", "tid"},
         "e": {"name", "cat", "id", "ts", "pid", "tid"}, "s": {"name", "cat", "id", "ts", "pid", "tid"},
         "t": {"name", "cat", "id", "ts", "pid", "tid"}, "f": {"name", "cat", "id", "ts", "pid", "tid"},
         "C": {"name", "ts", "pid", "args"}, "M": {"name", "pid", "args"}}
# What may stand in an event, and of which type.
TYPES = {"ph": str, "name": str, "cat": str, "bp": str, "ts": (int, float), "dur": (int, float), "pid": int, "tid": int, "id": int,
         "args": dict}
ONLY = {"dur": "X", "id": "bestf", "cat": "bestf", "bp": "f"}  # these in these phases alone
RANK = {"s": 0, "t": 1, "f": 2}


class Bad(Exception):
    pass


def need(ok, *what):
    if not ok:
        raise Bad(" ".join(map(str, what)))


def ns(us):
    """Exact: the file has three decimals."""
    return round(us * 1000)


def check_fields(e):
    need(e.get("ph") in NEEDS, "phase", e)
    need(NEEDS[e["ph"]] <= set(e), "fields missing", e)
    for key, value in e.items():
        need(key in TYPES, "unknown field", key, e)
        need(isinstance(value, TYPES[key]) and not isinstance(value, bool), "type of", key, e)
        need(e["ph"] in ONLY.get(key, e["ph"]), "no field of this phase:", key, e)
    need(e["name"], "name", e)
    need(e.get("ts", 0) >= 0 and e.get("dur", 0) >= 0, "before the begin", e)
    need(0 <= e.get("id", 0) < 2**53, "id", e)  # exact in a double
    need(e.get("bp", "e") == "e", "bp", e)
    if e["ph"] == "C":
        need(e["args"] and all(isinstance(v, (int, float)) for v in e["args"].values()), "counter", e)


def check_spans(spans):
    """Spans of one thread, as they were written: in order of time, each within all that are open or after them."""
    last = 0
    open_ends = []
    for e in spans:
        begin, end = ns(e["ts"]), ns(e["ts"]) + ns(e["dur"])
        need(begin >= last, "time goes back", e)
        last = begin
        while open_ends and open_ends[-1] <= begin:
            open_ends.pop()
        need(not open_ends or end <= open_ends[-1], "spans overlap without nesting", e)
        open_ends.append(end)


def check_async(events):
    """Of one category and id: each begin has its end, and none is opened twice."""
    is_open = False
    for e in sorted(events, key=lambda e: (ns(e["ts"]), e["ph"] == "b")):  # what ends makes room first
        if e["ph"] == "e" and not is_open:
            continue
        need(is_open != (e["ph"] == "b"), "unpaired", e)
        is_open = e["ph"] == "b"
    begins = sum(e["ph"] == "b" for e in events)
    need(2 * begins == len(events), "begins without ends", events[:2])


def check_flow(flow, starts):
    flow = sorted(flow, key=lambda e: (ns(e["ts"]), RANK[e["ph"]]))
    need(flow[0]["ph"] == "s", "a flow that does not begin", flow[0])
    need(sum(e["ph"] == "s" for e in flow) == 1, "a flow that begins twice", flow[0])
    need(sum(e["ph"] == "f" for e in flow) <= 1, "a flow that ends twice", flow[0])
    need(all(e["ph"] != "f" for e in flow[:-1]), "a flow that goes on past its end", flow[0])
    for e in flow:
        need((e["tid"], ns(e["ts"])) in starts, "a flow outside of every span", e)


def check(path):
    """Raises Bad, or returns the events by phase."""
    with open(path, encoding="utf-8") as f:
        doc = json.load(f)
    need(isinstance(doc, dict) and isinstance(doc.get("traceEvents"), list), "not the object form")
    need(set(doc) == {"traceEvents", "displayTimeUnit", "otherData"}, "fields of the file", sorted(doc))
    need(doc["displayTimeUnit"] in ("ms", "ns"), "displayTimeUnit")
    by_phase, spans = collections.defaultdict(list), collections.defaultdict(list)
    pairs, flows = collections.defaultdict(list), collections.defaultdict(list)
    for e in doc["traceEvents"]:
        check_fields(e)
        by_phase[e["ph"]].append(e)
        if e["ph"] == "X":
            spans[e["tid"]].append(e)
        elif e["ph"] in "be":
            pairs[e["cat"], e["id"]].append(e)
        elif e["ph"] in "stf":
            flows[e["cat"], e["id"]].append(e)
    names = {e["tid"]: e["args"]["name"] for e in by_phase["M"] if e["name"] == "thread_name"}
    need(set(spans) <= set(names) and all(names.values()), "threads without a name")
    for each in spans.values():
        check_spans(each)
    for each in pairs.values():
        check_async(each)
    starts = {(e["tid"], ns(e["ts"])) for e in by_phase["X"]}
    for each in flows.values():
        check_flow(each, starts)
    return by_phase, names, doc["otherData"]["lost_events"]
