"""Intervals for the outputs of any denoiser, calibrated on validation images."""
