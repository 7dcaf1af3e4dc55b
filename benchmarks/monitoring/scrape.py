"""Renders a registry of so many series with prometheus_client whenever it is asked; the contestant of scrape.mjs."""

import json
import sys
import time

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

registry = CollectorRegistry()
series = json.loads(sys.argv[1])
counter = Counter("api_requests", "Requests", ["method", "endpoint", "status"], registry=registry)
histogram = Histogram(
    "api_request_duration_seconds", "Time", ["method", "endpoint"], buckets=series["buckets"], registry=registry
)
for i in range(series["counters"]):
    counter.labels("GET", f"/route/{i}", "200").inc(i)
for i in range(series["histograms"]):
    histogram.labels("GET", f"/route/{i}").observe(0.01)
print(json.dumps({"version": getattr(prometheus_client, "__version__", "unknown")}), flush=True)
for line in sys.stdin:
    ms = []
    for _ in range(json.loads(line)["steps"]):
        began = time.perf_counter()
        text = generate_latest(registry)
        ms.append((time.perf_counter() - began) * 1000)
    print(json.dumps({"ms": ms, "loss": len(text)}), flush=True)
