"""Optimizers, schedules and averages, replayed on recorded gradients."""
