"""Load a wrapper around a detector from the detector's own checkpoint, and never in part."""

from mmengine.runner import load_checkpoint
from torch import nn

_SHOWN = 5  # keys that an error lists


def prefix_plain_keys(state_dict: dict, prefix: str, name: str) -> None:
    """Rename the keys of a wrapped module's own checkpoint, in place: ``backbone.*`` to ``detector.backbone.*``.

    Args:
        state_dict: What is being loaded; unchanged if a key is of the wrapper already.
        prefix: Of the wrapper in ``state_dict``, empty or ending with a dot.
        name: Attribute under which the wrapper holds the module.
    """
    own = [k for k in state_dict if k.startswith(prefix)]
    if any(k.startswith(f'{prefix}{name}.') for k in own):
        return
    for key in own:
        state_dict[f'{prefix}{name}.{key[len(prefix) :]}'] = state_dict.pop(key)


def load_pretrained(module: nn.Module, name: str) -> None:
    """Load a module from the checkpoint that its ``init_cfg`` names, wholly.

    Args:
        module: With ``init_cfg=dict(type='Pretrained', checkpoint=...)``; without, it is left as it is.
        name: What it is called in errors.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the checkpoint lacks weights, has others, or some have another shape.
    """
    if not is_pretrained(module):
        return
    checkpoint = module.init_cfg['checkpoint']
    try:
        load_checkpoint(module, checkpoint, map_location='cpu', strict=True, logger='silent')
    except RuntimeError as error:
        raise RuntimeError(f'{checkpoint} does not fit {name}, a {type(module).__name__}: {error}') from error


def is_pretrained(module: nn.Module) -> bool:
    """Whether the module's ``init_cfg`` names a checkpoint."""
    init_cfg = getattr(module, 'init_cfg', None)
    return isinstance(init_cfg, dict) and init_cfg.get('type') == 'Pretrained'


class CompleteLoadMixin:
    """A module named ``_wrapped_name`` is loaded wholly or not at all.

    One named in ``_separate_names`` may be absent from the checkpoint if its own ``init_cfg`` names another one, from
    which it is then loaded.

    mmengine loads with ``strict=False`` and only warns of weights that are missing or of another shape. Here both raise
    an error, through mmengine's loader and torch's, strict or not; unexpected keys are left to the loader to report.
    """

    _wrapped_name = 'detector'
    _separate_names: tuple[str, ...] = ()

    def _watch_loading(self: nn.Module) -> None:
        """Call this at the end of ``__init__``."""
        self._loading = ('', [])
        self.register_load_state_dict_post_hook(_raise_if_incomplete)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        prefix_plain_keys(state_dict, prefix, self._wrapped_name)
        # The hook is told the missing keys of the whole model and no messages.
        self._loading = (prefix, error_msgs)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


def _raise_if_incomplete(module: nn.Module, incompatible_keys) -> None:
    """Hook that runs when a module and its children have been loaded."""
    prefix, messages = module._loading
    module._loading = ('', [])
    for name in module._separate_names:
        _load_separately(module, name, f'{prefix}{name}.', incompatible_keys.missing_keys)
    missing = [k for k in incompatible_keys.missing_keys if k.startswith(prefix) and not _is_counter(k)]
    if missing:
        raise RuntimeError(
            f'the checkpoint lacks {len(missing)} weights of {type(module).__name__}, among them '
            f'{", ".join(missing[:_SHOWN])}. Is it the checkpoint of another model?'
        )
    if messages:
        raise RuntimeError(
            f'the checkpoint does not fit {type(module).__name__}: {"; ".join(str(m) for m in messages[:_SHOWN])}'
        )


def _load_separately(module: nn.Module, name: str, prefix: str, missing_keys: list[str]) -> None:
    """Load a part that is wholly absent from the checkpoint, and take its keys out of the missing ones, in place."""
    part = getattr(module, name, None)
    absent = [k for k in missing_keys if k.startswith(prefix)]
    if part is None or not absent:
        return
    if sum(not _is_counter(k) for k in absent) < sum(not _is_counter(k) for k in part.state_dict()):
        return
    if not is_pretrained(part):
        raise RuntimeError(
            f"the checkpoint has no weights of {name}; give {name}.init_cfg=dict(type='Pretrained', checkpoint=FILE)"
        )
    load_pretrained(part, name)
    missing_keys[:] = [k for k in missing_keys if not k.startswith(prefix)]


def _is_counter(key: str) -> bool:
    """Counters that checkpoints of old torch versions lack; they do not take part in inference."""
    return key.endswith('num_batches_tracked')
