_base_ = './runtime.py'

# Limbs and keypoints beside boxes.
visualizer = dict(type='KeypointVisualizer')
