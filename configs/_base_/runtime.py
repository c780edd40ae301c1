_base_ = ['mmdet::_base_/default_runtime.py', './imports.py']

# Among the default hooks, because it changes no results: it counts what CocoDataset leaves out, and names what is wrong.
default_hooks = dict(check_annotations=dict(type='CheckAnnotationsHook'))
