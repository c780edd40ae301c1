"""Make the proposals file that negative chips need: train a weak proposal network and look where it finds objects.

python tools/mine_negative_chips.py configs/isn/isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py --out data/coco/proposals.npz

The config trains on it with `--cfg-options train_dataloader.dataset.negatives.proposals=data/coco/proposals.npz`.
"""

import argparse
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from rich.console import Console

from mmisn.experiments.proposal_mining import count_negatives, mine_proposals
from mmisn.visualization import markdown_table


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description='Train a weak proposal network and write its proposals')
    parser.add_argument('config', help='config of a two-stage detector that trains on a ChipDataset')
    parser.add_argument('--out', required=True, type=Path, help='the proposals file, .npz')
    parser.add_argument('--epochs', type=int, default=2, help='epochs of training (default: %(default)s, as SNIPER)')
    parser.add_argument(
        '--max-per-level', type=int, default=300, help='proposals per image and level (default: %(default)s, as SNIPER)'
    )
    parser.add_argument('--work-dir', type=Path, help='folder of the training (default: OUT without .npz)')
    gpus = min(1, torch.cuda.device_count())
    parser.add_argument('--gpus', type=int, default=gpus, help='number of GPUs, 0 for the CPU (default: %(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='key=value pairs that change the config')
    args = parser.parse_args(argv)
    if args.epochs < 1 or args.max_per_level < 1 or args.gpus < 0:
        parser.error(
            f'--epochs and --max-per-level must be at least 1 and --gpus at least 0, got {args.epochs}, '
            f'{args.max_per_level} and {args.gpus}'
        )
    return args


def main(argv: list[str] | None = None) -> None:
    """Mine, then print how many proposals and negative chips there are."""
    args = parse_args(argv)
    console = Console()
    try:
        cfg = Config.fromfile(args.config)
        if args.cfg_options:
            cfg.merge_from_dict(args.cfg_options)
        work_dir = args.work_dir or args.out.with_suffix('')
        mine_proposals(cfg, args.out, work_dir, args.epochs, args.max_per_level, args.gpus, console)
        header, rows, dataset = count_negatives(cfg, args.out)
    except (FileNotFoundError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    print(markdown_table(header, rows))
    print(
        f'\n{dataset.num_images} images; {int(dataset.plan.negative.sum())} negative chips, of which an epoch draws at '
        f'most {dataset.negatives.per_image} per image.\nTrain on them with --cfg-options '
        f'train_dataloader.dataset.negatives.proposals={args.out}'
    )


if __name__ == '__main__':
    main()
