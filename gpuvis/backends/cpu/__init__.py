"""Everything that computes on the CPU."""
