#!/usr/bin/env python3
"""Tree reduction beside plain all-reduce, and the stall of checkpoints: a Markdown table each.

    bench/reducer_bench.py [--binary build/release/bench/reducer_bench] [--workers 2 4]
                           [--work 25 200 resnet50:8] [--steps 5] [--rounds 3]

Work is millions of parameters (a chain of matrices, which weighs the reduction most) or a model and
the images of a worker's batch.

The variants of one size run in turns; the median over the rounds is printed. "hidden" is the share of
the reduction's time that the backward pass covers: 1 - (overlapped - backward) / (after - backward).
"""
import argparse
import json
import statistics
import subprocess

VARIANTS = ["none", "plain", "tree", "plain_after", "tree_after"]


def measure(options, workers, variant, work):
    command = ["mpirun", "--oversubscribe", "--allow-run-as-root", "--bind-to", "none", "-n",
               str(workers), options.binary, variant, work, str(options.steps)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(next(line for line in output.splitlines() if line.startswith("{")))


def medians(options, workers, variants, work):
    found = {variant: [] for variant in variants}
    for _ in range(options.rounds):
        for variant in variants:
            found[variant].append(measure(options, workers, variant, work))
    return {variant: {key: statistics.median(row[key] for row in rows) if key != "variant" else variant
                      for key in rows[0]} for variant, rows in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/bench/reducer_bench")
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--work", nargs="+", default=["25", "200"])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    print("| work | parameters | workers | backward alone, ms | plain, ms | tree, ms | tree / plain | "
          "hidden (plain) | hidden (tree) | sent per worker and step, MB | memory, tree - plain, MB |")
    print("|" + "---|" * 11)
    for work in options.work:
        for workers in options.workers:
            rows = medians(options, workers, VARIANTS, work)
            alone = rows["none"]["step_ms"]

            def hidden(name):
                whole = rows[name + "_after"]["step_ms"] - alone
                return 100 * (1 - (rows[name]["step_ms"] - alone) / whole) if whole > 0 else 0

            print(f"| {work} | {rows['none']['parameters'] / 1e6:.1f} M | {workers} | "
                  f"{alone:.0f} | {rows['plain']['step_ms']:.0f} | "
                  f"{rows['tree']['step_ms']:.0f} | "
                  f"{rows['tree']['step_ms'] / rows['plain']['step_ms']:.2f} | "
                  f"{hidden('plain'):.0f} % | {hidden('tree'):.0f} % | {rows['tree']['wire_mb']:.0f} | "
                  f"{rows['tree']['peak_mb'] - rows['plain']['peak_mb']:.0f} |", flush=True)
    print()
    print("| work | checkpoint beside: the step waits, ms | checkpoint waited for, ms | step, ms |")
    print("|" + "---|" * 4)
    for work in options.work:
        rows = medians(options, 1, ["checkpoint_beside", "checkpoint_waiting"], work)
        print(f"| {work} | {rows['checkpoint_beside']['stall_ms']:.0f} | "
              f"{rows['checkpoint_waiting']['stall_ms']:.0f} | "
              f"{rows['checkpoint_waiting']['step_ms']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
