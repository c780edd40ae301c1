# Registers everything of mmisn; it stands in this file alone, because no two bases may share a key.
custom_imports = dict(imports=['mmisn'], allow_failed_imports=False)

# A fixed seed: chips, flips and augmentations follow from it, so that a resumed training sees what it would have seen.
randomness = dict(seed=0)

# On several GPUs: mmdet's MobileNetV2 has a last convolution that no FPN reads, and a batch without any proposal leaves the
# box classifier without gradient. Without this, training would stop with an error there.
find_unused_parameters = True
