"""What several tasks share: base classes, settings, and parts of their results."""
