"""Error metrics of reconstructed shapes, and their statistics over faces."""
