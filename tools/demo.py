"""Train and test ISN beside its baselines on synthetic scenes, on a CPU, and set the results side by side.

    make demo                                   # the short version: one seed, single-scale against ISN
    python tools/demo.py --preset table --methods single-scale multi-scale isn --seeds 0 1 2

Every training and test is an ordinary `mim train` or `mim test` command, which is printed before it runs. A method and
seed whose result is there already is not run again; an interrupted training is resumed.
"""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from mmisn.datasets import SceneConfig, make_scenes
from mmisn.visualization.comparison import draw_comparison, plot_octaves, write_table

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {
    'single-scale': 'configs/baselines/faster-rcnn_r18-small_fpn_1xb4_scenes.py',
    'multi-scale': 'configs/baselines/faster-rcnn_r18-small_fpn_1xb4-ms_scenes.py',
    'isn': 'configs/isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py',
}
# Multi-scale pictures are smaller, 106.6 against 136.6 thousand pixels on average: more epochs for equal pixels.
EPOCHS_PER_EPOCH = {'single-scale': 1.0, 'multi-scale': 136_640 / 106_600, 'isn': 1.0}


@dataclass(frozen=True)
class Budget:
    """How much is trained: each method sees ``images`` x ``epochs`` x 137 thousand pixels."""

    images: int
    val_images: int
    epochs: int


PRESETS = {'demo': Budget(400, 60, 8), 'table': Budget(800, 200, 8), 'smoke': Budget(8, 4, 2)}


@dataclass(frozen=True)
class Run:
    """One method trained with one seed."""

    method: str
    seed: int
    budget: Budget
    out: Path
    scenes: Path

    @property
    def folder(self) -> Path:
        return self.out / f'{self.method}_seed{self.seed}'

    @property
    def epochs(self) -> int:
        return round(self.budget.epochs * EPOCHS_PER_EPOCH[self.method])

    def options(self) -> list[str]:
        """Overrides of the config: data, seed, budget."""
        root, inner = f'{self.scenes}/', '.dataset' if self.method == 'isn' else ''
        ann_file = f'{root}annotations/instances_val.json'
        return [
            f'randomness.seed={self.seed}',
            f'train_dataloader.dataset{inner}.data_root={root}',
            f'val_dataloader.dataset.data_root={root}',
            f'test_dataloader.dataset.data_root={root}',
            f'val_evaluator.ann_file={ann_file}',
            f'test_evaluator.ann_file={ann_file}',
            f'test_evaluator.outfile_prefix={self.folder}/predictions',
            f'train_cfg.max_epochs={self.epochs}',
            f'param_scheduler.1.milestones=[{max(1, round(self.epochs * 0.75))}]',
            f'param_scheduler.1.end={self.epochs}',
            f'custom_hooks.0.begin={round(self.epochs * 0.4)}',
        ]

    def train_command(self) -> list[str]:
        command = ['mim', 'train', 'mmdet', CONFIGS[self.method], '--work-dir', str(self.folder), '--gpus', '0']
        return [*command, '--cfg-options', *self.options()]

    def test_command(self) -> list[str]:
        checkpoint = str(self.folder / f'epoch_{self.epochs}.pth')
        command = ['mim', 'test', 'mmdet', CONFIGS[self.method], '--checkpoint', checkpoint, '--gpus', '0']
        tta = [] if self.method == 'single-scale' else ['--tta']
        return [*command, '--work-dir', str(self.folder / 'test'), *tta, '--cfg-options', *self.options()]


def main(argv: list[str] | None = None) -> None:
    """Run what has no result yet, then write the table and the pictures."""
    args = parse_args(argv)
    console = Console()
    budget = PRESETS[args.preset]
    # Commands are run, printed and kept relative to the repository.
    out = args.out.resolve()
    out = out.relative_to(ROOT) if out.is_relative_to(ROOT) else out
    os.chdir(ROOT)
    scenes = out / 'scenes'
    # The scenes' own seed is fixed; the methods' seeds change weights, order and flips only.
    make_scenes(scenes, budget.images, budget.val_images, SceneConfig.small(), num_workers=args.jobs, progress=True)
    runs = [Run(m, s, budget, out, scenes) for s in args.seeds for m in args.methods]
    run_all([r for r in runs if not (r.folder / 'result.json').is_file()], args.jobs, console)
    results = [json.loads((r.folder / 'result.json').read_text()) for r in runs]
    text = write_table(results, out / 'table')
    plot_octaves(results, out / 'octaves.png')
    chosen = {r.method: r.folder / 'predictions.bbox.json' for r in runs if r.seed == args.seeds[0]}
    draw_comparison(scenes / 'annotations/instances_val.json', scenes / 'val', chosen, out / 'detections.png')
    browse_chips(runs, out)
    console.print(f'\n{text}\n', markup=False, highlight=False, soft_wrap=True)
    console.print(f'Table and pictures: {out}/table.md, octaves.png, detections.png, chips/', soft_wrap=True)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--preset', choices=PRESETS, default='demo', help='how much is trained')
    parser.add_argument('--methods', nargs='+', choices=CONFIGS, default=['single-scale', 'isn'])
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--out', type=Path, default=ROOT / 'work_dirs' / 'demo')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='runs at a time, one thread each')
    return parser.parse_args(argv)


def run_all(runs: list[Run], jobs: int, console: Console) -> None:
    """Run up to ``jobs`` trainings at a time, each followed by its test, one progress bar each."""
    waiting, active = list(runs), []
    columns = (TextColumn('{task.description:<34}'), BarColumn(), TextColumn('{task.fields[now]}'), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        try:
            while waiting or active:
                while waiting and len(active) < jobs:
                    active.append(Job(waiting.pop(0), progress))
                time.sleep(0.5)
                active = [job for job in active if not job.advance()]
        finally:
            for job in active:
                # The whole group: mim starts the training as a process of its own.
                if job.process.poll() is None:
                    os.killpg(job.process.pid, signal.SIGTERM)


class Job:
    """A run in its own processes: training, then test."""

    def __init__(self, run: Run, progress: Progress) -> None:
        self.run, self.progress = run, progress
        self.task = progress.add_task(f'{run.method}, seed {run.seed}', total=100, now='')
        self.started = time.time()
        self.seconds = {}
        run.folder.mkdir(parents=True, exist_ok=True)
        trained = (run.folder / f'epoch_{run.epochs}.pth').is_file()
        self._start('test' if trained else 'train')

    def _start(self, step: str) -> None:
        self.step, self.step_started = step, time.time()
        command = self.run.train_command() if step == 'train' else self.run.test_command()
        if step == 'train' and (self.run.folder / 'last_checkpoint').is_file():
            command.insert(4, '--resume')
        self.progress.console.print(f'$ {shlex.join(command)}', markup=False, highlight=False, soft_wrap=True)
        self.log = self.run.folder / f'{step}.log'
        # One thread each: two trainings side by side use two cores better than one training does.
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore', 'CUDA_VISIBLE_DEVICES': ''}
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )

    def advance(self) -> bool:
        """Update the bar, go on to the next step; whether all is done."""
        done, now = self._progress()
        self.progress.update(self.task, completed=done, now=now)
        code = self.process.poll()
        if code is None:
            return False
        self.seconds[self.step] = time.time() - self.step_started
        if code != 0:
            tail = '\n'.join(self.log.read_text(errors='replace').splitlines()[-15:])
            raise SystemExit(f'{self.run.method}, seed {self.run.seed}: {self.step} failed, see {self.log}\n{tail}')
        if self.step == 'train':
            self._start('test')
            return False
        self._keep_result()
        self.progress.update(self.task, completed=100, now='done')
        return True

    def _progress(self) -> tuple[float, str]:
        text = self.log.read_text(errors='replace')[-4000:] if self.log.is_file() else ''
        if self.step == 'test':
            found = re.findall(r'Epoch\(test\) \[\s*(\d+)/(\d+)\]', text)
            part = int(found[-1][0]) / int(found[-1][1]) if found else 0.0
            return 85 + 15 * part, 'testing'
        found = re.findall(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\].*?loss: ([\d.]+)', text)
        if not found:
            return 0.0, 'starting'
        epoch, iteration, iterations, loss = found[-1]
        part = (int(epoch) - 1 + int(iteration) / int(iterations)) / self.run.epochs
        return 85 * part, f'epoch {epoch}/{self.run.epochs}, loss {loss}'

    def _keep_result(self) -> None:
        newest = max((self.run.folder / 'test').glob('*/*.json'), key=lambda p: p.stat().st_mtime)
        metrics = json.loads(newest.read_text().splitlines()[-1])
        result = dict(
            method=self.run.method,
            seed=self.run.seed,
            budget=asdict(self.run.budget),
            epochs=self.run.epochs,
            config=CONFIGS[self.run.method],
            train_command=shlex.join(self.run.train_command()),
            test_command=shlex.join(self.run.test_command()),
            seconds={k: round(v, 1) for k, v in self.seconds.items()},
            metrics={k: v for k, v in metrics.items() if k.startswith('coco/')},
        )
        partial = self.run.folder / 'result.json.partial'
        partial.write_text(json.dumps(result, indent=2))
        partial.replace(self.run.folder / 'result.json')


def browse_chips(runs: list[Run], out: Path) -> None:
    """Draw the training chips of a few scenes."""
    run = next((r for r in runs if r.method == 'isn'), None)
    if run is None:
        return
    command = [sys.executable, 'tools/browse_chips.py', CONFIGS['isn'], '--out', str(out / 'chips'), '--images', '3']
    options = ['--cfg-options', f'train_dataloader.dataset.dataset.data_root={run.scenes}/']
    subprocess.run([*command, *options], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == '__main__':
    main()
