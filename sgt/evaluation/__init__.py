"""Evaluation: what a task is, the tasks, and what is the same for all of them: predicting, scoring, statistics."""
