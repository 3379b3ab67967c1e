"""Reinforcement learning for language understanding: the library behind the workflow."""
