"""Inputs and results of the steps: what workflows, steps and the code below them agree on. Models only."""
