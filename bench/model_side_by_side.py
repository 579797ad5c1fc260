#!/usr/bin/env python3
"""Podium, Python eager and torch.compile on the same steps of the same models, in turns, in one run.

model_side_by_side.py [--models resnet50,swinv2_tiny_window8_256,..] [--modes train,infer] [--steps 10] [--batch_size 4] [--threads 1]
Each competitor is one process that keeps its model and does a step when told; only one computes at a time, and the turn changes after
every step, so that other work on the machine meets all alike. Same weights, same batch, same number of threads, fp32. Prints a Markdown
table per mode: median (min - max) of wall time; medians of processor time; ratios of both; highest memory of a step without mapped files.
Ends with an error where losses or logits of the competitors differ by more than --tolerance. Needs bench/make_peers.sh once, and g++.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGE_SIZES = {'resnet50': 224, 'swinv2_tiny_window8_256': 256, 'swinv2_base_window8_256': 256, 'beit_base_patch16_224': 224,
               'vit_base_patch14_dinov2': 224, 'cvt_21': 224}
COMPETITORS = ('Podium', 'eager', 'compile')


class Competitor:
    def __init__(self, command, environment):
        self.command = ' '.join(command)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        env=environment)
        self.read()
        self.steps = []

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f'ended without an answer: {self.command}')
        return json.loads(line)

    def step(self):
        print(file=self.process.stdin, flush=True)
        self.steps.append(self.read())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def commands(args, model, mode, folder):
    size = IMAGE_SIZES[model]
    naming = 'transformers' if model.startswith('cvt') else ''
    podium = [args.podium, f'--model={model}', f'--weights={folder}/weights.safetensors', f'--data={folder}/data.safetensors',
              f'--mode={mode}', f'--image_size={size}', f'--naming={naming}', f'--threads={args.threads}',
              f'--channels_last={int(args.channels_last)}']
    peer = [args.peers, f'{HERE}/model_peer.py', '--model', model, '--folder', folder, '--image_size', str(size), '--mode', mode,
            '--threads', str(args.threads)] + ['--channels_last'] * args.channels_last
    return {'Podium': podium, 'eager': peer, 'compile': peer + ['--compile']}


def measure(args, model, mode, folder):
    """The steps after the warm-up by competitor."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(args.threads))
    chosen = {name: command for name, command in commands(args, model, mode, folder).items() if name in args.competitors}
    competitors = {name: Competitor(command, environment) for name, command in chosen.items()}
    for _ in range(args.warm_up + args.steps):
        for competitor in competitors.values():
            competitor.step()
        checks = [competitor.steps[-1]['check'] for competitor in competitors.values()]
        if max(checks) - min(checks) > args.tolerance * max(map(abs, checks)):
            raise SystemExit(f'{model}, {mode}: the competitors compute different things: {checks}')
    for competitor in competitors.values():
        competitor.end()
    return {name: competitor.steps[args.warm_up:] for name, competitor in competitors.items()}


def processor_ms(step):
    return step['user_ms'] + step['system_ms']


def print_head(mode, args):
    others = [name for name in args.competitors if name != 'Podium']
    heads = [f'{name}, ms' for name in args.competitors] + [f'{name}, CPU ms' for name in args.competitors]
    heads += [f'Podium / {name}: wall, CPU' for name in others] + [f'{name}, MiB' for name in args.competitors]
    print(f'| {mode} | batch | px | {" | ".join(heads)} |\n|{"---|" * (3 + len(heads))}', flush=True)


def print_row(model, args, steps):
    walls = {name: [step['wall_ms'] for step in own] for name, own in steps.items()}
    wall = {name: statistics.median(own) for name, own in walls.items()}
    cpu = {name: statistics.median(map(processor_ms, own)) for name, own in steps.items()}
    cells = [f'{wall[name]:.0f} ({min(walls[name]):.0f} - {max(walls[name]):.0f})' for name in args.competitors]
    cells += [f'{cpu[name]:.0f}' for name in args.competitors]
    cells += [f'{wall["Podium"] / wall[name]:.2f}, {cpu["Podium"] / cpu[name]:.2f}' for name in args.competitors if name != 'Podium']
    cells += [f'{max(step["peak_mib"] for step in steps[name]):.0f}' for name in args.competitors]
    print(f'| {model} | {args.batch_size} | {IMAGE_SIZES[model]} | {" | ".join(cells)} |', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--podium', default=f'{HERE}/../build/release/bench/model_bench')
    parser.add_argument('--peers', default=os.path.expanduser('~/.cache/podium/peers-venv/bin/python'))
    parser.add_argument('--models', type=lambda text: text.split(','), default=list(IMAGE_SIZES))
    parser.add_argument('--modes', type=lambda text: text.split(','), default=['train', 'infer'])
    parser.add_argument('--competitors', type=lambda text: text.split(','), default=list(COMPETITORS), help='Podium among them')
    parser.add_argument('--steps', type=int, default=10)
    parser.add_argument('--warm_up', type=int, default=2)
    parser.add_argument('--batch_size', type=int, default=4)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--channels_last', action='store_true')
    parser.add_argument('--tolerance', type=float, default=1e-3)
    parser.add_argument('--json', help='also writes all steps there')
    args = parser.parse_args()
    everything = {}
    for mode in args.modes:
        results = everything.setdefault(mode, {})
        print_head(mode, args)
        for model in args.models:
            with tempfile.TemporaryDirectory() as folder:
                subprocess.run([args.peers, f'{HERE}/model_peer.py', '--model', model, '--folder', folder, '--image_size',
                                str(IMAGE_SIZES[model]), '--batch_size', str(args.batch_size), '--write'], check=True)
                results[model] = measure(args, model, mode, folder)
            print_row(model, args, results[model])
        print()
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(everything, file)


if __name__ == '__main__':
    main()
