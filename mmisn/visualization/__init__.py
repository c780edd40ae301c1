from .chip_picture import ChipView, draw_chips
from .keypoint_visualizer import KeypointVisualizer
from .object_states import best_states, count_states, object_states
from .scale_histogram import SeenScales, histogram, octave_edges, overlap, see_scales
from .scale_plot import plot_scales
from .scale_rules import PAPER_RULES, ScaleRule, rule_of_generator, rule_of_pipeline
from .tables import markdown_table, percent, spell_mean, spread, write_csv

__all__ = [
    'PAPER_RULES',
    'ChipView',
    'KeypointVisualizer',
    'ScaleRule',
    'SeenScales',
    'best_states',
    'count_states',
    'draw_chips',
    'histogram',
    'markdown_table',
    'object_states',
    'octave_edges',
    'overlap',
    'percent',
    'plot_scales',
    'rule_of_generator',
    'rule_of_pipeline',
    'see_scales',
    'spell_mean',
    'spread',
    'write_csv',
]
