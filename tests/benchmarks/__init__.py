"""Measurements as ratios within one run; `make bench` runs them all and fails when a bound is broken."""
