"""Where emboli lie: masks and boxes of public sets and of phantoms, read, measured and kept."""
