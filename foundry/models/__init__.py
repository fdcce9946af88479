"""Who thinks: the port every model stands behind, and the adapters. Provider faults are met here and nowhere else."""
