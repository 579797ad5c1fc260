#!/usr/bin/env python3
"""Podium's loader and torch's DataLoader on the same JPEGs and cores, in turns, in one run.

loader_side_by_side.py [--bench build/release/bench/loader_bench] [--peers ~/.cache/podium/peers-venv/bin/python] [--rounds 3]
Images of 256 px that loader_bench renders: decode, random resized crop to 224 px (scale .35 - 1), flip, normalise, float32 CHW, batches of 64,
two threads or processes. Prints a Markdown table of images per CPU-second of the whole process tree and per second: median (min - max) over
rounds. The peers' CPU time is the difference of a long and a short run, so that starting Python counts for nothing. Needs
bench/make_peers.sh once.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command, **environment):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            env=dict(os.environ, **environment)).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return output, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def podium(args, folder):
    output, _ = run([args.bench, f'--benchmark_filter=^loader/{args.threads}(/|$)', '--benchmark_format=json'], PODIUM_BENCH_FOLDER=folder)
    result = json.loads(output)['benchmarks'][0]
    return {'cpu': result['images_per_cpu_second'], 'wall': result['images_per_second']}


def peer(args, folder, decoder):
    def once(epochs):
        output, cpu = run([args.peers, f'{HERE}/loader_peer.py', '--csv', f'{folder}/labels.csv', '--workers', str(args.threads), '--epochs',
                           str(epochs), '--decoder', decoder])
        return json.loads(output), cpu
    (short, short_cpu), (long, long_cpu) = once(2), once(2 + args.epochs)
    return {'cpu': (long['images'] - short['images']) / (long_cpu - short_cpu), 'wall': long['images'] / long['seconds']}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--bench', default=f'{HERE}/../build/release/bench/loader_bench')
    parser.add_argument('--peers', default=os.path.expanduser('~/.cache/podium/peers-venv/bin/python'))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--epochs', type=int, default=12, help='epochs by which the long run is longer')
    parser.add_argument('--threads', type=int, default=2)
    args = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.rounds):
            results.setdefault('Podium', []).append(podium(args, folder))
            results.setdefault('torch DataLoader + decode_jpeg + torchvision v2', []).append(peer(args, folder, 'turbo'))
            results.setdefault('torch DataLoader + PIL + torchvision v2', []).append(peer(args, folder, 'pil'))
    print(f'| {args.threads} threads or processes | images per CPU-second | images/s |\n|---|---|---|')
    for name, rounds in results.items():
        cells = []
        for key in ('cpu', 'wall'):
            values = [entry[key] for entry in rounds]
            cells.append(f'{statistics.median(values):.0f} ({min(values):.0f} - {max(values):.0f})')
        print(f'| {name} | {cells[0]} | {cells[1]} |')


if __name__ == '__main__':
    main()
