"""A whole run, stage by stage: presets, stages and their cache, figures of merit."""
