"""Images made by optimization: feature visualization, DeepDream, inversion and texture synthesis."""
