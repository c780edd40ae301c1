"""What mim would do, done at once."""

import json
import shlex


class Mim:
    """In the place of ``run_jobs``: no process, but what is left of a successful test."""

    def __init__(self, fail=(), score=lambda command: 0.4 if '--tta' in command else 0.3):
        self.commands, self.fail, self.score = [], fail, score

    def __call__(self, jobs, slots, console, cwd):
        failed = [job.name for job in jobs if any(name in job.name for name in self.fail)]
        for job in jobs:
            for step in () if job.name in failed else job.steps:
                self.commands.append(shlex.join(step.command))
                step.ended(8.0)
                if step.name == 'test':
                    log = step.log.parent / 'now' / 'now.json'
                    log.parent.mkdir(parents=True, exist_ok=True)
                    log.write_text(json.dumps({'coco/bbox_mAP': self.score(step.command), 'time': 0.5}))
                step.after()
        return failed
