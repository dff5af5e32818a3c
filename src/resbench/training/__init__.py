"""Training: recipes as data, one loop."""
