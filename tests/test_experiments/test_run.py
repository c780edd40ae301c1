"""Two runs with one folder of trainings."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from mmisn.experiments import run

HOLDER = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]).acquire(timeout=0):
    print('held', flush=True)
    sys.stdin.read()
"""


def missing(*folders):
    return [SimpleNamespace(trainings=[SimpleNamespace(folder=folder)]) for folder in folders]


@pytest.fixture
def started(monkeypatch):
    """The trials whose jobs were run, in place of running them."""
    started = []
    monkeypatch.setattr(run, 'check_programs', lambda programs: None)
    monkeypatch.setattr(run, 'make_jobs', lambda trials, *args: trials)
    monkeypatch.setattr(run, 'run_jobs', lambda jobs, *args: started.extend(jobs) or [])
    return started


def test_a_training_that_another_process_runs_is_not_run_beside_it(tmp_path, started):
    busy, free = tmp_path / 'busy', tmp_path / 'free'
    busy.mkdir()
    command = [sys.executable, '-c', HOLDER, str(busy / '.lock')]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == 'held\n'
        with pytest.raises(ValueError, match=rf'another run is busy with {busy}; wait .*--rows.*--out'):
            run.run_trials(missing(free, busy), None, tmp_path, 1, Console())
        assert started == []
        # Its other rows can be run.
        run.run_trials(missing(free), None, tmp_path, 1, Console())
        assert len(started) == 1
        other.stdin.close()
    # The lock ends with the process; a training that several trials need is locked once.
    run.run_trials(missing(busy, free, busy), None, tmp_path, 1, Console())
    assert len(started) == 4
