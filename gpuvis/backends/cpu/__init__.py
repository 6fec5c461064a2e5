"""What computes on the CPU."""
