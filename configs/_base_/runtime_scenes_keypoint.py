_base_ = './runtime_scenes.py'

# Limbs and keypoints beside boxes.
visualizer = dict(type='KeypointVisualizer')
