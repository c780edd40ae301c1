"""Tables on MNIST and CIFAR-10: their data, trials with checkpoints of two trainings, and the command."""

import gzip
import importlib.util
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import yaml

from mmisn.experiments.arguments import KEPT_SCALENET_RESULTS, from_root, spell_command, spell_path
from mmisn.experiments.budget import BUDGETS
from mmisn.experiments.picture_data import PictureData, picture_data
from mmisn.experiments.results import make_jobs, read_results
from mmisn.experiments.tables import ROOT, find_table, load_table
from mmisn.experiments.trials import make_training, row_trials

SCALE_NET = 'configs/scalenet/simple-scale-net_1xb64-1e_mnist.py'
KEY = 'model.scale_net.init_cfg.checkpoint'


def write_mnist(folder, seed=0, zipped=False):
    """The four files, of 100 and 20 random pictures."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for stem, number in (('train', 100), ('t10k', 20)):
        images = rng.integers(0, 256, (number, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, number, dtype=np.uint8)
        for kind, array in (('images-idx3', images), ('labels-idx1', labels)):
            header = struct.pack('>BBBB', 0, 0, 8, array.ndim) + struct.pack(f'>{array.ndim}I', *array.shape)
            content = header + array.tobytes()
            name = f'{stem}-{kind}-ubyte'
            (folder / (f'{name}.gz' if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)
    return folder


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    """Paths of configs are relative to the repository."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope='module')
def mnist(tmp_path_factory):
    return write_mnist(tmp_path_factory.mktemp('data') / 'mnist')


@pytest.fixture
def rows():
    return {row.name: row for row in find_table('scalenet-table2').rows}


def trial_of(row, data, out, budget='table', seed=0):
    (trial,) = row_trials(row, data, BUDGETS[budget], [seed], out)
    return trial


def test_data_are_known_by_their_content(mnist, tmp_path):
    data = picture_data('mnist', mnist, BUDGETS['table'])
    zipped = picture_data('mnist', write_mnist(tmp_path / 'zipped', zipped=True), BUDGETS['table'])
    other = picture_data('mnist', write_mnist(tmp_path / 'other', seed=1), BUDGETS['table'])
    assert data.digest == zipped.digest != other.digest
    assert (data.num_images('train'), data.num_images('val')) == (100, 20)
    smoke = picture_data('mnist', mnist, BUDGETS['smoke'])
    assert (smoke.num_images('train'), smoke.num_images('val')) == (64, 16)


def test_data_that_are_missing_or_a_budget_of_scenes(tmp_path, mnist):
    with pytest.raises(ValueError, match='no such folder'):
        picture_data('mnist', tmp_path / 'x', BUDGETS['table'])
    with pytest.raises(ValueError, match='demo is one for scenes'):
        picture_data('mnist', mnist, BUDGETS['demo'])


def test_recursion_is_tested_with_two_trainings(rows, mnist, tmp_path):
    data = PictureData('mnist', mnist)
    classifier = trial_of(rows['pretrained classifier'], data, tmp_path)
    recursive = trial_of(rows['Recursive-ScaleNet'], data, tmp_path)
    assert recursive.training.key == classifier.training.key and recursive.key != classifier.key
    (scale_net,) = recursive.weights.values()
    assert scale_net.config == SCALE_NET and scale_net.key != classifier.training.key
    command = ' '.join(recursive.command(0))
    assert f'--checkpoint {classifier.training.checkpoint}' in command
    assert f'{KEY}={scale_net.checkpoint}' in command and 'outfile_prefix' not in command
    assert f'test_dataloader.dataset.data_root={mnist}' in command


def test_keys_know_the_data_the_seed_and_the_other_training(rows, mnist, tmp_path):
    row, data = rows['Recursive-ScaleNet'], PictureData('mnist', mnist)
    first = trial_of(row, data, tmp_path / 'a')
    assert trial_of(row, data, tmp_path / 'b').key == first.key
    moved = PictureData('mnist', write_mnist(tmp_path / 'moved' / 'mnist', zipped=True))
    assert trial_of(row, moved, tmp_path).key == first.key
    other = PictureData('mnist', write_mnist(tmp_path / 'other' / 'mnist', seed=1))
    assert trial_of(row, other, tmp_path).key != first.key
    assert trial_of(row, data, tmp_path, seed=1).key != first.key
    (scale_net,) = first.weights.values()
    longer = make_training(SCALE_NET, {'train_cfg.max_epochs': 9}, data, BUDGETS['table'], 0, tmp_path)
    assert longer.key != scale_net.key


def test_trainings_that_a_test_needs_together_are_one_job(rows, mnist, tmp_path):
    data = PictureData('mnist', mnist)
    names = ['pretrained classifier', 'deformable CNN', 'rescaling once', 'Recursive-ScaleNet']
    trials = [trial_of(rows[name], data, tmp_path) for name in names]
    jobs = make_jobs(trials, data, tmp_path / 'results', 0)
    assert [[step.name for step in job.steps] for job in jobs] == [
        ['train', 'train', 'test', 'test'],
        ['train', 'test'],
    ]
    # Rescaling once is told by the test of the recursion, which is run once.
    assert trials[2].key == trials[3].key


def test_jobs_grow_together_when_a_later_test_needs_both(rows, mnist, tmp_path):
    """Two classifiers first, each a job of its own; then each behind the same scale net."""
    data = PictureData('mnist', mnist)
    plain = [trial_of(rows[name], data, tmp_path) for name in ('deformable CNN', 'pretrained classifier')]
    entry = rows['Recursive-ScaleNet'].entries['mnist']
    deformable = rows['deformable CNN'].entries['mnist'].config
    both = [trial_of(rows['Recursive-ScaleNet'], data, tmp_path)]
    other = type(entry)(deformable, {}, entry.test_config, {}, weights=entry.weights)
    row = type(rows['deformable CNN'])('other', '', {}, {'mnist': other})
    both.append(trial_of(row, data, tmp_path))
    (job,) = make_jobs([*plain, *both], data, tmp_path / 'results', 0)
    assert [step.name for step in job.steps] == ['train'] * 3 + ['test'] * 4


def test_a_result_counts_both_trainings(rows, mnist, tmp_path):
    data = PictureData('mnist', mnist)
    trial = trial_of(rows['Recursive-ScaleNet'], data, tmp_path)
    (job,) = make_jobs([trial], data, tmp_path / 'results', 0)
    classifier, scale_net, test = job.steps
    for step, seconds in ((classifier, 10.0), (scale_net, 20.0), (test, 4.0)):
        step.ended(seconds)
    log = test.log.parent / 'now' / 'now.json'
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps({'accuracy/28': 0.9871, 'accuracy/scale_net_pixels': 1000.0, 'time': 0.5}))
    test.after()
    (result,) = read_results(tmp_path / 'results').values()
    assert result['metrics'] == {'accuracy/28': 0.9871, 'accuracy/scale_net_pixels': 1000.0}
    assert (result['seconds']['train'], result['seconds']['test']) == (30.0, 4.0)
    epochs = [training.epochs for training in trial.trainings]
    assert result['pixels'] == dict(
        train_per_image_epoch=2 * 3 * 784, train=sum(epochs) * 3 * 784 * 100, test_per_image=784 + 1000
    )
    assert result['images'] == dict(train=100, val=20) and result['test']['weights'] == {KEY: SCALE_NET}
    assert set(result['commands']) == {'train', f'train for {KEY}', 'test'}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(metrics=dict(mnist={'28': '28 px'}, coco={'bbox_mAP': 'AP'})), "unknown key 'coco'"),
        (dict(metrics=dict(mnist={})), 'must have the same headings'),
        (dict(rows=[dict(name='x', scenes=dict(config=SCALE_NET))]), "unknown key 'scenes'"),
        (
            dict(rows=[dict(name='x', mnist=dict(config=SCALE_NET, test=dict(weights={KEY: 'no.py'})))]),
            'no such config',
        ),
    ],
)
def test_bad_tables(tmp_path, change, message):
    good = dict(title='T', source='S', metrics=dict(mnist={'28': '28 px'}), rows=[dict(name='x', paper_only=True)])
    (tmp_path / 't.yml').write_text(yaml.safe_dump({**good, **change}))
    with pytest.raises(ValueError, match=message):
        load_table(tmp_path / 't.yml')


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location('ablate_tool', ROOT / 'tools' / 'ablate.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_results_of_scalenet_are_kept_apart(tool):
    args = tool.parse_args(['scalenet-table2', '--data', 'data/mnist', '--budget', 'table'])
    assert ROOT / args.results == KEPT_SCALENET_RESULTS
    args = tool.parse_args(['scalenet-table2', '--data', 'data/mnist', '--out', 'work_dirs/x'])
    assert str(args.results) == 'work_dirs/x/results'


def test_command_says_what_is_wrong_with_the_data(tool, mnist, tmp_path, capsys):
    assert tool.main(['scalenet-table2', '--data', str(tmp_path), '--out', str(tmp_path / 'out')]) == 2
    assert 'train-images-idx3-ubyte' in capsys.readouterr().err
    (tmp_path / 'data_batch_1').write_bytes(b'')
    assert tool.main(['scalenet-table4', '--data', str(tmp_path), '--out', str(tmp_path / 'out')]) == 2
    assert 'binary version' in capsys.readouterr().err


def keep_result(trial, data, results):
    """Run the steps of a trial's job in words alone; the text of the result."""
    (job,) = make_jobs([trial], data, results, 0)
    log = job.steps[-1].log.parent / 'now' / 'now.json'
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps({'accuracy/28': 0.5, 'accuracy/scale_net_pixels': 1.0}))
    job.steps[-1].after()
    return (results / f'{trial.name}.json').read_text()


def test_a_result_does_not_say_where_the_data_are(rows, mnist, tmp_path):
    row, runs = rows['Recursive-ScaleNet'], Path('work_dirs/none')
    found = {}
    for root in (mnist, Path('data/mnist')):
        data = PictureData('mnist', root)
        vars(data)['_splits'] = PictureData('mnist', mnist)._splits
        trial = trial_of(row, data, runs)
        assert f'data_root={root}' in ' '.join(trial.command(0))
        commands = {step: spell_command(trial.command(0), data.root) for step in ('test',)}
        found[root] = trial.key, commands['test']
    assert found[mnist][0] == found[Path('data/mnist')][0]
    assert found[mnist][1].replace('FOLDER/mnist', 'data/mnist') == found[Path('data/mnist')][1]
    data = PictureData('mnist', mnist)
    text = keep_result(trial_of(row, data, tmp_path / 'out'), data, tmp_path / 'results')
    assert str(mnist) not in text and text.count('data_root=FOLDER/mnist') == 3 * 3


def test_links_and_relative_paths_stay_what_they_are(tool, mnist, tmp_path, monkeypatch):
    (tmp_path / 'link').symlink_to(mnist, target_is_directory=True)
    assert from_root(tmp_path / 'link') == tmp_path / 'link'
    assert from_root(Path('data/link')) == from_root(ROOT / 'data' / 'link') == Path('data/link')
    assert from_root(Path('../elsewhere/mnist')) == Path('../elsewhere/mnist')
    (tmp_path / 'repository').symlink_to(ROOT, target_is_directory=True)
    assert from_root(tmp_path / 'repository' / 'data' / 'mnist') == Path('data/mnist')
    monkeypatch.chdir(ROOT / 'tools')
    assert from_root(Path('../data/mnist')) == Path('data/mnist')
    assert from_root(Path('../../elsewhere')) == Path('../elsewhere')
    assert (spell_path('data/mnist'), spell_path('../mnist')) == ('data/mnist', '../mnist')
    assert (spell_path('/disk/me/mnist'), spell_path('scenes')) == ('FOLDER/mnist', 'scenes')
    args = tool.parse_args(['scalenet-table2', '--data', str(tmp_path / 'link')])
    assert args.data == str(tmp_path / 'link')
    assert tool.command_of(args).startswith('python tools/ablate.py scalenet-table2 --data FOLDER/link --budget smoke')


def test_commands_are_spelled_for_any_machine():
    command = ['mim', 'test', 'c.py', '--cfg-options', 'a.data_root=/disk/x/', 'b.ann_file=/disk/x/annotations/v.json']
    assert spell_command(command, Path('/disk/x')) == (
        'mim test c.py --cfg-options a.data_root=FOLDER/x/ b.ann_file=FOLDER/x/annotations/v.json'
    )
    assert spell_command(['a', 'b=disk/x', 'c d'], Path('disk/x')) == "a b=disk/x 'c d'"
    assert spell_command(['a=/disk/x'], None) == 'a=/disk/x'


def test_without_data_a_table_says_not_trained(tool, tmp_path, capsys):
    args = ['--data', str(tmp_path / 'none'), '--out', str(tmp_path / 'out'), '--no-run']
    assert tool.main(['scalenet-table4', *args]) == 0
    text = capsys.readouterr().out
    assert '| Recursive-ScaleNet    | not trained |    - | 73.81 |     - | 74.22 |' in text
    assert (tmp_path / 'out' / 'scalenet-table4.csv').is_file()
