"""Find the ``ChipDataset`` in a config."""

from mmengine.config import Config, ConfigDict


def chip_dataset_cfg(cfg: Config) -> ConfigDict:
    """Config of the ``ChipDataset`` that a config trains on, not a copy; wrappers (``RepeatDataset``) are left out.

    Raises:
        ValueError: If it trains on something else.
    """
    if cfg.get('train_dataloader') is None:
        raise ValueError(f'{cfg.filename} has no train_dataloader')
    dataset = cfg.train_dataloader.dataset
    kinds = []
    while dataset.get('type') != 'ChipDataset':
        kinds.append(dataset.get('type'))
        if 'dataset' not in dataset:
            raise ValueError(
                f'{cfg.filename} trains on {" of ".join(map(str, kinds))}, which has no chips; a ChipDataset is '
                "needed. To look at whole images there is mmdet's tools/analysis_tools/browse_dataset.py"
            )
        dataset = dataset.dataset
    return dataset
