"""Load a wrapper around a detector from the detector's own checkpoint, and never in part."""

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


class CompleteLoadMixin:
    """A module named ``_wrapped_name`` is loaded wholly or not at all.

    mmengine loads with ``strict=False`` and only warns of weights that are missing or of another shape. Here both raise
    an error, through mmengine's loader and torch's, strict or not; unexpected keys are left to the loader to report.
    """

    _wrapped_name = 'detector'

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
    # Counters that checkpoints of old torch versions lack; they do not take part in inference.
    missing = [
        k for k in incompatible_keys.missing_keys if k.startswith(prefix) and not k.endswith('num_batches_tracked')
    ]
    if missing:
        raise RuntimeError(
            f'the checkpoint lacks {len(missing)} weights of {type(module).__name__}, among them '
            f'{", ".join(missing[:_SHOWN])}. Is it the checkpoint of another model?'
        )
    if messages:
        raise RuntimeError(
            f'the checkpoint does not fit {type(module).__name__}: {"; ".join(str(m) for m in messages[:_SHOWN])}'
        )
