"""``checkpoint bench``: what this machine and these weights do, measured."""

from __future__ import annotations

import typer

from pipeline.commands import (
    bench_accuracy,
    bench_alerts,
    bench_capacity,
    bench_gpu,
    bench_latency,
    bench_match,
    bench_savings,
    bench_throughput,
)

app = typer.Typer(no_args_is_help=True)
app.command("alerts")(bench_alerts.alerts)
app.command("accuracy")(bench_accuracy.accuracy)
app.command("match")(bench_match.match)
app.command("savings")(bench_savings.savings)
app.command("throughput")(bench_throughput.throughput)
app.command("latency")(bench_latency.latency)
app.command("gpu")(bench_gpu.gpu)
app.command("capacity")(bench_capacity.capacity)
