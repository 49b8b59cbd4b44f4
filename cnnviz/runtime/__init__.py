"""How and where code runs: device, precision, memory, seeds, progress, cancellation, files, and executors."""
