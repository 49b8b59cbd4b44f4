"""Where and how a job runs: device and precision, seeds, and reporting progress."""
