"""Draw the recursion of one picture: views, scale maps and what the classifier says (ScaleNet, Figure 2).

    python tools/draw_recursion.py configs/scalenet/recursive-large_mnist.py CLASSIFIER.pth \\
        --scale-net SCALE_NET.pth --data data/mnist --size 84 --index 9 --out recursion.png
"""

import argparse
import sys
from pathlib import Path

from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint

import mmisn  # noqa: F401  registers everything, as custom_imports does
from mmisn.models.classifiers import recursion_steps
from mmisn.visualization import RecursionStep, draw_recursion


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a RescalingClassifier')
    parser.add_argument('checkpoint', help='checkpoint of its classifier')
    parser.add_argument('--scale-net', help='checkpoint of the scale net (default: as the config says)')
    parser.add_argument('--data', help='folder of the data (default: as the config says)')
    parser.add_argument('--size', type=int, default=84, help='side of the picture in pixels (default: %(default)s)')
    parser.add_argument('--index', type=int, default=0, help='number of the test picture (default: %(default)s)')
    parser.add_argument('--out', type=Path, default=Path('recursion.png'), help='(default: %(default)s)')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Draw the strip; the exit status."""
    args = parse_args(argv)
    init_default_scope('mmdet')
    try:
        draw(args)
    except (OSError, ValueError, RuntimeError) as error:
        print(f'draw_recursion.py: error: {error}', file=sys.stderr)
        return 2
    print(args.out)
    return 0


def draw(args: argparse.Namespace) -> None:
    """Load model and picture, run the recursion and draw it."""
    cfg = Config.fromfile(args.config)
    if cfg.model.type != 'RescalingClassifier':
        raise ValueError(f'{args.config}: its model must be a RescalingClassifier, got {cfg.model.type}')
    if args.scale_net is not None:
        cfg.model.scale_net.init_cfg.checkpoint = args.scale_net
    dataset_cfg = dict(cfg.test_dataloader.dataset, sizes=(args.size,))
    if args.data is not None:
        dataset_cfg['data_root'] = args.data
    dataset = DATASETS.build(dataset_cfg)
    if not 0 <= args.index < len(dataset):
        raise ValueError(f'--index must be from 0 to {len(dataset) - 1}, got {args.index}')
    model = MODELS.build(cfg.model)
    load_checkpoint(model, args.checkpoint, map_location='cpu', logger='silent')
    item = dataset[args.index]
    picture = item['inputs'].permute(1, 2, 0).contiguous().numpy()
    steps = [
        RecursionStep(view, scale_map, top_k, f'classified as {label}')
        for view, scale_map, top_k, label in recursion_steps(model, picture)
    ]
    draw_recursion(steps, args.out, f'A {item["labels"]} of {args.size} px')


if __name__ == '__main__':
    sys.exit(main())
