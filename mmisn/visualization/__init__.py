from .chip_picture import ChipView, draw_chips
from .detection_picture import draw_picture, put_side_by_side
from .keypoint_visualizer import KeypointVisualizer
from .object_states import best_states, count_states, object_states
from .recursion_strip import RecursionStep, draw_recursion
from .scale_histogram import SeenScales, histogram, octave_edges, overlap, see_scales
from .scale_map import ScaleMapVisualizer, draw_scale_maps, paint_classes
from .scale_plot import plot_scales
from .scale_rules import PAPER_RULES, ScaleRule, rule_of_generator, rule_of_pipeline
from .tables import markdown_table, percent, spell_mean, spread, write_csv
from .window_visualizer import WindowVisualizer, draw_windows

__all__ = [
    'PAPER_RULES',
    'ChipView',
    'KeypointVisualizer',
    'ScaleMapVisualizer',
    'RecursionStep',
    'ScaleRule',
    'SeenScales',
    'WindowVisualizer',
    'best_states',
    'count_states',
    'draw_chips',
    'draw_scale_maps',
    'draw_picture',
    'draw_windows',
    'draw_recursion',
    'histogram',
    'markdown_table',
    'object_states',
    'octave_edges',
    'overlap',
    'paint_classes',
    'percent',
    'plot_scales',
    'rule_of_generator',
    'rule_of_pipeline',
    'see_scales',
    'put_side_by_side',
    'spell_mean',
    'spread',
    'write_csv',
]
