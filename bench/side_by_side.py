#!/usr/bin/env python3
"""Podium and Python on the same training job, in turns, in one run.

side_by_side.py [--podium build/release/podium] [--peers ~/.cache/podium/peers-venv/bin/python] [--rounds 3] [--steps 60]
Renders and packs a data set, then trains ResNet-18 at 64 px and batch 32 with both, alternately, with the same number of threads. Prints
a Markdown table of start (process start to the end of the first update), step time (median) and images/s: median (min - max) over rounds.
Needs bench/make_peers.sh once.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TRANSFORMS = '[{random_resized_crop: {size: [64], scale: [0.5, 1.0]}}, hflip, normalize]'


def run(command, **kwargs):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **kwargs)


def first_step(process, metrics, started):
    """Seconds until metrics.jsonl has its first step line."""
    while process.poll() is None:
        if os.path.exists(metrics) and os.path.getsize(metrics) > 0:
            return time.time() - started
        time.sleep(0.005)
    raise SystemExit('podium ended before its first step')


def podium(args, data, folder, workers):
    shutil.rmtree(folder, ignore_errors=True)
    steps_per_epoch = args.images // 32
    epochs = -(-args.steps // steps_per_epoch)
    launcher = ['launch', '-n', str(workers), '--'] if workers > 1 else []
    command = [args.podium, *launcher, 'train', f'--recipe={HERE}/../recipes/s5_quick.yaml', f'--data={data}', f'--run_dir={folder}',
               f'--loader_threads={args.threads // workers}', '--set', f'data.train_transforms={TRANSFORMS}', '--set', f'train.epochs={epochs}',
               '--set', f'logical_workers={workers}', '--set', f'train.micro_batch_size={32 // workers}',
               '--set', f'train.compute_threads={args.threads // workers}',
               '--set', 'train.ema_decay=0', '--set', 'log.every_steps=1', '--set', 'optimizer.name=adam',
               '--set', 'checkpoint.every_minutes=0']
    started = time.time()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    start_s = first_step(process, f'{folder}/metrics.jsonl', started)
    if process.wait() != 0:
        raise SystemExit(f'podium failed: {" ".join(command)}')
    with open(f'{folder}/metrics.jsonl') as lines:
        rates = [line['images_per_s'] for line in map(json.loads, lines) if line['kind'] == 'step'][5:args.steps]
    seconds = [32 / rate for rate in rates]
    return {'start_s': start_s, 'step_ms': 1000 * statistics.median(seconds), 'images_per_s': 32 * len(seconds) / sum(seconds)}


def python(args, scenes):
    environment = dict(os.environ, BENCH_STARTED=str(time.time()))
    command = [args.peers, f'{HERE}/train_peer.py', '--csv', f'{scenes}/train.csv', '--images', scenes, '--steps', str(args.steps),
               '--workers', str(args.threads), '--threads', str(args.threads)]
    return json.loads(run(command, env=environment).stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--podium', default=f'{HERE}/../build/release/podium')
    parser.add_argument('--peers', default=os.path.expanduser('~/.cache/podium/peers-venv/bin/python'))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--steps', type=int, default=60)
    parser.add_argument('--images', type=int, default=640)
    parser.add_argument('--threads', type=int, default=2, help='compute threads, and loader threads or processes')
    args = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        scenes, data = f'{folder}/scenes', f'{folder}/data'
        run([args.podium, 'demo', f'--output={scenes}', f'--num_train={args.images}', '--num_test=1'])
        run([args.podium, 'pack', '--layout=multilabel_csv', f'--input={scenes}/train.csv', f'--output={data}'])
        for _ in range(args.rounds):
            for workers in (1, 2):
                name = f'Podium, {workers} worker{"s" * (workers > 1)} of {args.threads // workers} threads'
                results.setdefault(name, []).append(podium(args, data, f'{folder}/run', workers))
            results.setdefault('torch DataLoader + torchvision + timm', []).append(python(args, scenes))
    print('| | start, s | step, ms | images/s |\n|---|---|---|---|')
    for name, rounds in results.items():
        cells = []
        for key, digits in (('start_s', 2), ('step_ms', 1), ('images_per_s', 0)):
            values = [one[key] for one in rounds]
            cells.append(f'{statistics.median(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})')
        print(f'| {name} | {" | ".join(cells)} |')


if __name__ == '__main__':
    main()
