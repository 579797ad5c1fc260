#!/usr/bin/env python3
"""Podium's loader and every Python peer on the same JPEGs and cores, in turns, in one run.

    bench/make_peers.sh && bench/loader_side_by_side.py --output loader.md
    bench/loader_side_by_side.py --only podium,ffcv_float,dali --sizes 256 --threads 2 --rounds 1

Rendered JPEGs of 256 and 512 px (quality 90, 4:2:0) are decoded, cropped at random to 224 px (area .35 - 1), flipped and normalised to float32
batches of 64, and the same with RandAugment(2, 9) and a Cutout of a quarter of each side, by 1 and 2 threads or worker processes. Writes
Markdown: images per CPU-second of the whole process tree and images per second, the median of the rounds (smallest - largest). About
13 minutes on a quiet machine. A peer that is not installed or fails is named at the end.
"""
import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get('PODIUM_CACHE', os.path.expanduser('~/.cache/podium'))
NUM_IMAGES = {256: 1024, 512: 512}
# label, options of `podium pack`, what follows the name of the case in loader_bench
PODIUM = {
    'podium': ('Podium', [], ''),
    'podium_restarts': ('Podium, packed with --jpeg_restart_px=32', ['--jpeg_restart_px=32'], ''),
    'podium_ram': ('Podium, data.cache: ram, later epochs', [], '_ram'),
}
PEERS = {
    'torch_pil': 'torch DataLoader + PIL + torchvision v1',
    'torch_turbo': 'torch DataLoader + decode_jpeg + torchvision v2',
    'webdataset_pil': 'webdataset + PIL + torchvision v1',
    'webdataset_turbo': 'webdataset + decode_jpeg + torchvision v2',
    'streaming_pil': 'mosaicml-streaming + PIL + torchvision v1',
    'ffcv_float': 'ffcv, normalised floats',
    'ffcv_uint8': 'ffcv, bytes out, not normalised',
    'dali': 'DALI, CPU',
}
LIMITS = {'huffman_only': 'Huffman decoding only', 'full_decode': 'full decode only'}


class Peer:
    """A Python process that measures one peer on request; its imports and compiled code stay."""

    def __init__(self, name, folder):
        self.log = open(os.path.join(folder, name + '.log'), 'w+')
        environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore')
        if name.startswith('streaming'):
            environment['PYTHONPATH'] = f'{CACHE}/peers-streaming'
        self.process = subprocess.Popen([f'{CACHE}/peers-venv/bin/python', f'{HERE}/loader_peer.py', name], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)

    def measure(self, job):
        try:
            print(json.dumps(job), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ''
        if not answer:
            self.process.wait()
            self.log.seek(0)
            raise RuntimeError((self.log.read().strip().splitlines() or ['ended without a word'])[-1])
        result = json.loads(answer)
        return {'cpu': result['images'] / result['cpu'], 'wall': result['images'] / result['seconds']}

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def loader_bench(args, folder, name, seconds, packed='podium'):
    environment = dict(os.environ, OMP_NUM_THREADS='1', PODIUM_BENCH_JPEGS=folder, PODIUM_BENCH_PACKED=f'{folder}/{packed}')
    output = subprocess.run([f'{args.build}/bench/loader_bench', f'--benchmark_filter=^{name}(/real_time)?$', '--benchmark_format=json',
                             f'--benchmark_min_time={seconds}'], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            env=environment).stdout
    result = json.loads(output)['benchmarks'][0]
    return {'cpu': result['images_per_cpu_second'], 'wall': result['images_per_second']}


def prepare(args, folder, side):
    """The files, rendered once, and Podium's shards of them."""
    files = os.path.join(folder, str(side))
    if not os.path.exists(f'{files}/labels.csv'):
        line = subprocess.run([f'{args.build}/bench/render_jpegs', files, str(side), str(NUM_IMAGES[side])], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        print(line.strip(), file=sys.stderr)
    for name, (_, options, _) in PODIUM.items():
        if not os.path.exists(f'{files}/{name}/DONE'):
            subprocess.run([f'{args.build}/podium', 'pack', '--layout=multilabel_csv', f'--input={files}/labels.csv', f'--output={files}/{name}', *options],
                           check=True, stderr=subprocess.DEVNULL)
    return files


def measure_all(args, folder):
    """{(size, is augmented, threads): {name: [results]}}, {(size, limit): [results]}, {name: why it is missing}"""
    files = {side: prepare(args, folder, side) for side in args.sizes}
    results, limits, missing, peers = {}, {}, {}, {}
    jobs = [(side, is_augmented, threads) for threads in args.threads for is_augmented in (False, True) for side in args.sizes]
    started = time.monotonic()
    for number in range(args.rounds):
        if number and number * args.minutes * 60 < (time.monotonic() - started) * (number + 1):  # one more round would take too long
            print(f'{number} rounds are what {args.minutes:g} minutes allow', file=sys.stderr)
            break
        for side in args.sizes:
            for limit in LIMITS:
                limits.setdefault((side, limit), []).append(loader_bench(args, files[side], limit, args.seconds / 2))
        for side, is_augmented, threads in jobs:
            cells = results.setdefault((side, is_augmented, threads), {})
            for name, (_, _, suffix) in PODIUM.items():
                if name in args.only:
                    case = f'loader/{"augmented" if is_augmented else "plain"}{suffix}/{threads}'
                    cells.setdefault(name, []).append(loader_bench(args, files[side], case, args.seconds, name))
            for name in PEERS:
                if name not in args.only or name in missing or (name == 'ffcv_uint8' and is_augmented):
                    continue
                try:
                    if name not in peers:
                        peers[name] = Peer(name, folder)
                    cells.setdefault(name, []).append(peers[name].measure({'folder': files[side], 'size': side, 'augmented': is_augmented,
                                                                           'threads': threads, 'seconds': args.seconds}))
                except (RuntimeError, OSError) as error:
                    missing[name] = str(error)
            print(f'round {number + 1} of {args.rounds}: {side} px, {"augmented" if is_augmented else "plain"}, {threads} threads',
                  file=sys.stderr, flush=True)
    for peer in peers.values():
        peer.close()
    return results, limits, missing


def cell(measured, key):
    if not measured:
        return '-'
    values = [entry[key] for entry in measured]
    return f'**{statistics.median(values):,.0f}** ({min(values):,.0f} - {max(values):,.0f})'


def median(measured, key='cpu'):
    return statistics.median(entry[key] for entry in measured)


def ratio(podium, others):
    """Podium over the best of the others; '-' where one was not measured."""
    return f'{podium / max(others):.2f}' if podium and others else '-'


def tables(args, results, limits):
    columns = [(side, is_augmented) for is_augmented in (False, True) for side in args.sizes]
    titles = ' | '.join(f'{side} px{", RandAugment + Cutout" if is_augmented else ""}' for side, is_augmented in columns)
    names = {**{name: label for name, (label, _, _) in PODIUM.items()}, **PEERS}
    for threads in args.threads:
        for key, title in (('cpu', 'images per CPU-second'), ('wall', 'images per second')):
            yield f'\n| {title}, {threads} thread{"s" if threads > 1 else ""} | {titles} |\n|{"---|" * (len(columns) + 1)}'
            rows = [[results[side, is_augmented, threads].get(name) for side, is_augmented in columns] for name in names]
            for name, row in zip(names.values(), rows):
                if any(row):
                    yield f'| {name} | {" | ".join(cell(entry, key) for entry in row)} |'
            if key == 'wall':
                continue
            for limit, name in LIMITS.items():
                row = [cell(limits.get((side, limit)), key) if not is_augmented else '-' for side, is_augmented in columns]
                yield f'| {name} | {" | ".join(row)} |'
            by_name = [{name: median(entry) for name, entry in results[side, is_augmented, threads].items()} for side, is_augmented in columns]
            floats = [[value for name, value in row.items() if name in PEERS and name != 'ffcv_uint8'] for row in by_name]
            bytes_out = [[value for name, value in row.items() if name == 'ffcv_uint8'] for row in by_name]
            huffman = [[median(limits[side, 'huffman_only'])] if not is_augmented else [] for side, is_augmented in columns]
            for own in PODIUM:
                for name, others in (('the best peer with normalised floats', floats), ('ffcv, bytes out', bytes_out), ('Huffman decoding', huffman)):
                    row = [ratio(entry.get(own), other) for entry, other in zip(by_name, others)]
                    if own in args.only:
                        yield f'| {names[own]} / {name} | {" | ".join(row)} |'


def machine():
    with open('/proc/cpuinfo') as file:
        name = re.search(r'model name\s*: (.*)', file.read())
    return (f'{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} x {name.group(1) if name else "unknown"}, '
            f'load before and after: ')


def numbers(text):
    return [int(value) for value in text.split(',')]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default=f'{HERE}/../build/release')
    parser.add_argument('--only', type=lambda text: text.split(','), default=[*PODIUM, *PEERS], help=', '.join([*PODIUM, *PEERS]))
    parser.add_argument('--sizes', type=numbers, default=[256, 512], help='px')
    parser.add_argument('--threads', type=numbers, default=[1, 2])
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--minutes', type=float, default=60, help='no new round that would end later')
    parser.add_argument('--seconds', type=float, default=1.0, help='of a measurement, at least')
    parser.add_argument('--images', help='folder for the rendered images and what the peers make of them, kept (default: a temporary one)')
    parser.add_argument('--output', help='Markdown file (default: standard output)')
    args = parser.parse_args()
    unknown = set(args.only) - {*PODIUM, *PEERS}
    if unknown:
        parser.error(f'--only: unknown {", ".join(sorted(unknown))}; give some of {", ".join([*PODIUM, *PEERS])}')
    unknown = set(args.sizes) - set(NUM_IMAGES)
    if unknown:
        parser.error(f'--sizes: no images of {unknown} px; give some of {list(NUM_IMAGES)}')
    head, load = machine(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.images or temporary
        os.makedirs(folder, exist_ok=True)
        results, limits, missing = measure_all(args, folder)
    rounds = max(len(measured) for measured in limits.values())
    lines = [f'{head}{load:.1f}, {os.getloadavg()[0]:.1f}; rounds: {rounds}', *tables(args, results, limits), '']
    lines += [f'Missing: {name}: {why}' for name, why in missing.items()]
    text = '\n'.join(lines) + '\n'
    if args.output:
        with open(args.output, 'w') as file:
            file.write(text)
    print(text)


if __name__ == '__main__':
    main()
