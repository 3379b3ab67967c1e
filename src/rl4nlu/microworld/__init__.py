"""The microworld: a generated English-like language that yields every GLUE and SuperGLUE task, and models pretrained on it."""

from .generators import TASKS, Knobs, rows

__all__ = ["TASKS", "Knobs", "rows"]
