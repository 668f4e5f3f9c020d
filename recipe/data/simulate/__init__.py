"""What a configuration costs before it runs: ``python -m recipe.data.simulate --help``."""
