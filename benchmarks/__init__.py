"""Speed of pectl's paths beside named baselines, in one run on one machine: `make bench`."""
