"""Figures of images and predictions, as pure functions; where features come from is the caller's business."""
