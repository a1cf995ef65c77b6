"""Evaluation: metrics, baselines, filters, scores and claims."""
