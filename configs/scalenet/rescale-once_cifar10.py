# The paper's rescaling once.
_base_ = './recursive_cifar10.py'
model = dict(max_rescales=1)
