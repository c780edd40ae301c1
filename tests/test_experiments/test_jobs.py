"""Jobs as processes, with small scripts in the place of trainings."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from mmisn.experiments.jobs import Job, Step, check_programs, cpu_slots, gpu_slots, run_jobs


def step(tmp_path, name, code, **kwargs):
    return Step(name, [sys.executable, '-c', code], tmp_path / f'{name}.log', **kwargs)


@pytest.fixture
def console(tmp_path):
    with open(tmp_path / 'console.txt', 'w') as file:
        yield Console(file=file, width=500)


def printed(tmp_path):
    return (tmp_path / 'console.txt').read_text()


def test_steps_run_in_order_and_tell_when_they_end(tmp_path, console):
    done = []
    steps = [
        step(tmp_path, name, f'print("{name} says hello")', after=lambda n=name: done.append(n)) for name in ('a', 'b')
    ]
    seconds = {}
    steps.append(step(tmp_path, 'c', 'import time; time.sleep(0.5)', ended=lambda s: seconds.update(c=s)))
    assert run_jobs([Job('job', steps)], cpu_slots(1), console, tmp_path) == []
    assert done == ['a', 'b']
    assert 0.5 <= seconds['c'] < 5
    assert (tmp_path / 'a.log').read_text() == 'a says hello\n'
    assert printed(tmp_path).index('\'print("a says') < printed(tmp_path).index('\'print("b says')


def test_a_failing_job_does_not_stop_the_others(tmp_path, console):
    done = []
    bad = [
        step(tmp_path, 'train', 'for i in range(50): print("line", i)\nraise SystemExit(3)'),
        step(tmp_path, 'test', '', after=lambda: done.append('test of bad')),
    ]
    good = [step(tmp_path, 'good', '', after=lambda: done.append('good'))]

    def refuse():
        raise ValueError('the test has left no metrics')

    odd = [step(tmp_path, 'odd', 'print("all is well")', after=refuse)]
    jobs = [Job('bad', bad), Job('odd', odd), Job('good', good)]
    assert sorted(run_jobs(jobs, cpu_slots(1), console, tmp_path)) == ['bad', 'odd']
    assert done == ['good']
    text = printed(tmp_path)
    assert 'bad: train failed: it ended with 3' in text
    # The end of the log, twenty lines of it.
    assert 'line 49' in text and 'line 30' in text and 'line 29\n' not in text
    assert 'odd: odd failed: the test has left no metrics' in text


def test_as_many_at_a_time_as_there_are_slots(tmp_path, console):
    """Each job notes when it starts and ends, and which GPU it has."""
    code = (
        'import os, time, pathlib\n'
        'start = time.time(); time.sleep(0.6)\n'
        'gpu = os.environ["CUDA_VISIBLE_DEVICES"]\n'
        'pathlib.Path("{name}.txt").write_text(f"{{start}} {{time.time()}} {{gpu}}")'
    )
    jobs = [Job(name, [step(tmp_path, name, code.format(name=name))]) for name in 'abcd']
    assert run_jobs(jobs, gpu_slots(2, None), console, tmp_path) == []
    notes = [(tmp_path / f'{name}.txt').read_text().split() for name in 'abcd']
    times = [(float(start), float(end)) for start, end, _ in notes]
    for moment in sorted(t for pair in times for t in pair):
        assert sum(start <= moment < end for start, end in times) <= 2
    # No GPU has two jobs at once, and both are used.
    for gpu in '01':
        spans = sorted(span for span, note in zip(times, notes) if note[2] == gpu)
        assert spans and all(first[1] <= second[0] for first, second in zip(spans, spans[1:]))


def test_slots():
    alone, other = cpu_slots(2)
    assert alone == other and alone['OMP_NUM_THREADS'] == '1' and alone['CUDA_VISIBLE_DEVICES'] == ''
    assert gpu_slots(3, None) == [{'CUDA_VISIBLE_DEVICES': str(i)} for i in range(3)]
    assert gpu_slots(2, '4,6') == [{'CUDA_VISIBLE_DEVICES': '4'}, {'CUDA_VISIBLE_DEVICES': '6'}]
    assert gpu_slots(4, None, 1) == [{'CUDA_VISIBLE_DEVICES': '0'}]


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the C library has other settings')
def test_memory_is_kept_on_a_cpu(tmp_path, console):
    """Pages of memory that is freed and taken again are not asked of the system anew."""
    code = """
import ctypes, pathlib, resource
libc = ctypes.CDLL('libc.so.6')
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
for turn in range(11):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt if turn == 1 else turn and before
    tensors = [libc.malloc(3 << 20) for _ in range(8)]
    for tensor in tensors:
        ctypes.memset(tensor, 1, 3 << 20)
    for tensor in tensors:
        libc.free(tensor)
pathlib.Path(NAME).write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
"""
    faults = []
    for i, slot in enumerate(({'MALLOC_TRIM_THRESHOLD_': '131072'}, *cpu_slots(1))):
        child = step(tmp_path, 'a', code.replace('NAME', f'"{i}.txt"'))
        assert run_jobs([Job('job', [child])], [slot], console, tmp_path) == []
        faults.append(int((tmp_path / f'{i}.txt').read_text()))
    # Ten turns of 24 MiB, in pages of 4 KiB or larger ones.
    assert faults[0] > 100 and faults[1] < 0.1 * faults[0]


def test_children_see_this_environments_commands(tmp_path, console):
    code = 'import shutil, pathlib; pathlib.Path("which.txt").write_text(shutil.which("python"))'
    run_jobs([Job('job', [step(tmp_path, 'a', code)])], cpu_slots(1), console, tmp_path)
    assert Path((tmp_path / 'which.txt').read_text()).parent == Path(sys.executable).parent
    check_programs(['python'])
    with pytest.raises(ValueError, match='no-such-program is not installed'):
        check_programs(['no-such-program'])


def test_progress_is_read_from_the_end_of_the_log(tmp_path, console):
    seen = []

    def progress(text):
        seen.append(text)
        return 0.5, 'half'

    code = 'import time; print("x" * 9000); print("the end", flush=True); time.sleep(0.5)'
    run_jobs([Job('job', [step(tmp_path, 'a', code, progress=progress)])], cpu_slots(1), console, tmp_path)
    assert seen[-1].endswith('the end\n') and len(seen[-1]) == 4000


RUNNER = """
import signal
import sys
from pathlib import Path

from rich.console import Console

from mmisn.experiments.jobs import Job, Step, cpu_slots, run_jobs

# A shell without job control starts what it puts into the background deaf to Ctrl-C, and the tests with it.
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path(sys.argv[1])
# Like mim: a process that starts another one, which writes its number and waits.
child = 'import os, time, pathlib; pathlib.Path("child.txt").write_text(str(os.getpid())); time.sleep(60)'
parent = f'import subprocess, sys; subprocess.run([sys.executable, "-c", {child!r}])'
step = Step('train', [sys.executable, '-c', parent], folder / 'log', ended=lambda s: (folder / 'ended').touch())
run_jobs([Job('job', [step])], cpu_slots(1), Console(), folder)
"""


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_ends_all_processes(tmp_path, number):
    """The runner's children and theirs are gone when it ends."""
    (tmp_path / 'runner.py').write_text(RUNNER)
    runner = subprocess.Popen([sys.executable, 'runner.py', str(tmp_path)], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        child = tmp_path / 'child.txt'
        deadline = time.monotonic() + 60
        while not (child.is_file() and child.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        pid = int(child.read_text())
        os.kill(pid, 0)
        runner.send_signal(number)
        assert runner.wait(30) != 0
        deadline = time.monotonic() + 10
        while is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(pid)
        assert (tmp_path / 'ended').is_file()
    finally:
        runner.kill()


def is_alive(pid):
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False
