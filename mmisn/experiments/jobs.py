"""Run jobs as processes: several at a time, with progress bars, never leaving one behind."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

POLL_SECONDS = 0.2
# What processes have to end themselves when asked to.
GRACE_SECONDS = 10
LOG_LINES = 20
# glibc hands the memory of large tensors back to the system after every step and takes it anew. Kept, a step of a small
# net on MNIST takes a quarter less time. Other C libraries do not read these.
KEEP_MEMORY = {'MALLOC_MMAP_THRESHOLD_': str(2**30), 'MALLOC_TRIM_THRESHOLD_': str(2**32)}


@dataclass(frozen=True)
class Step:
    """A process of a job.

    Attributes:
        name: What it is called in messages.
        command: Program and arguments.
        log: File that its output goes to.
        share: Part of the job's progress bar.
        progress: From the end of the log to how far it is, in [0, 1], and a word on it.
        ended: Called with the seconds that it took, whether or not it succeeded.
        after: Called after success.
    """

    name: str
    command: Sequence[str]
    log: Path
    share: float = 1.0
    progress: Callable[[str], tuple[float, str]] = lambda text: (0.0, '')
    ended: Callable[[float], None] = lambda seconds: None
    after: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Job:
    """Steps that run one after the other.

    Attributes:
        name: What its progress bar says.
        steps: The steps.
    """

    name: str
    steps: Sequence[Step]


def cpu_slots(number: int) -> list[dict[str, str]]:
    """Environments of jobs that share the CPU: one thread each, which uses the cores better than one job of many."""
    return [{'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', **KEEP_MEMORY}] * number


def gpu_slots(count: int, visible: str | None, number: int | None = None) -> list[dict[str, str]]:
    """Environments of jobs that have a GPU each.

    Args:
        count: GPUs that torch sees.
        visible: ``CUDA_VISIBLE_DEVICES`` of this process.
        number: Jobs at a time, at most.
    """
    names = visible.split(',')[:count] if visible else list(map(str, range(count)))
    return [{'CUDA_VISIBLE_DEVICES': name} for name in names[:number]]


def run_jobs(jobs: Sequence[Job], slots: Sequence[Mapping[str, str]], console: Console, cwd: Path) -> list[str]:
    """Run jobs, as many at a time as there are slots.

    A job whose step fails is given up, the end of its log printed, and the others go on. When this process is
    interrupted or terminated, so are all of theirs.

    Args:
        jobs: The jobs; they are started in this order.
        slots: Environment variables, one set per job at a time.
        console: Where commands, bars and failures are printed.
        cwd: Folder that the commands run in.

    Returns:
        Names of the jobs that failed.
    """
    waiting, free, active, failed = list(jobs), list(slots), [], []
    columns = (TextColumn('{task.description}'), BarColumn(), TextColumn('{task.fields[now]}'), TimeElapsedColumn())
    with _terminable(), Progress(*columns, console=console) as progress:
        total = progress.add_task('all', total=len(jobs), now='') if len(jobs) > 1 else None
        try:
            while waiting or active:
                while waiting and free:
                    active.append(_Running(waiting.pop(0), free.pop(0), progress, cwd))
                time.sleep(POLL_SECONDS)
                for running in [r for r in active if r.advance()]:
                    active.remove(running)
                    free.append(running.slot)
                    failed += [running.job.name] if running.failed else []
                    if total is not None:
                        progress.advance(total)
        finally:
            _end([running.process for running in active])
            for running in active:
                running.note_time()
    return failed


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind as Ctrl-C does, so that the processes are ended."""

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread, which alone may have handlers
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(processes: Sequence[subprocess.Popen]) -> None:
    """End processes with all that they have started: mim starts the training as a process of its own."""
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def child_environment(slot: Mapping[str, str]) -> dict[str, str]:
    """Environment of a process: this interpreter's commands come first, since mim starts ``python``."""
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ.get("PATH", "")}'
    return {**os.environ, 'PATH': path, 'PYTHONWARNINGS': 'ignore', **slot}


def check_programs(programs: Sequence[str]) -> None:
    """Check that programs are there.

    Raises:
        ValueError: If one is not.
    """
    for program in programs:
        if shutil.which(program, path=child_environment({})['PATH']) is None:
            raise ValueError(f'{program} is not installed beside {sys.executable} nor on the PATH (make env, openmim)')


class _Running:
    """A job that has been started."""

    def __init__(self, job: Job, slot: Mapping[str, str], progress: Progress, cwd: Path) -> None:
        self.job, self.slot, self.progress, self.cwd = job, slot, progress, cwd
        self.task = progress.add_task(job.name, total=100, now='')
        self.left = list(job.steps)
        self.failed = False
        self.done = 0.0
        self._start()

    def _start(self) -> None:
        self.step, self.started = self.left.pop(0), time.monotonic()
        self.progress.console.print(f'$ {shlex.join(self.step.command)}', markup=False, highlight=False, soft_wrap=True)
        self.step.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.step.log, 'wb') as log:
            self.process = subprocess.Popen(
                self.step.command,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment(self.slot),
                start_new_session=True,
            )

    def advance(self) -> bool:
        """Update the bar, go on to the next step; whether the job is over."""
        whole = sum(step.share for step in self.job.steps)
        part, now = self.step.progress(_tail(self.step.log))
        self.progress.update(self.task, completed=100 * (self.done + part * self.step.share) / whole, now=now)
        code = self.process.poll()
        if code is None:
            return False
        self.note_time()
        if code == 0:
            try:
                self.step.after()
            except (OSError, ValueError) as error:
                return self._give_up(str(error))
            self.done += self.step.share
            if self.left:
                self._start()
                return False
            self.progress.update(self.task, completed=100, now='done', visible=False)
            return True
        return self._give_up(f'it ended with {code}')

    def note_time(self) -> None:
        """Tell the step how long it took."""
        self.step.ended(time.monotonic() - self.started)

    def _give_up(self, why: str) -> bool:
        self.failed = True
        lines = self.step.log.read_text(errors='replace').splitlines()[-LOG_LINES:]
        text = '\n'.join([f'{self.job.name}: {self.step.name} failed: {why}; end of {self.step.log}:', *lines])
        self.progress.console.print(text, markup=False, highlight=False, soft_wrap=True, style='red')
        self.progress.update(self.task, now='failed')
        return True


def _tail(log: Path, size: int = 4000) -> str:
    with open(log, 'rb') as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - size))
        return file.read().decode(errors='replace')
