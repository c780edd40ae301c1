# Rescaling once, which Table 4 compares with.
_base_ = './recursive-small_mnist.py'
model = dict(max_rescales=1)
