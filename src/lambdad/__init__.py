"""A Lambda bundler and a rebuild daemon: `bundler` makes one build, `daemon` outlives it."""
