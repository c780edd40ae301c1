from .real_data import real_data_root

__all__ = ['real_data_root']
