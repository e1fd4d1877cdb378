// Package slurm tries the Slurm engine on a real cluster, which it brings up itself: see contrib/internal/cluster. It needs root and
// Debian's slurm-wlm and munge, and says so where they are missing.
package slurm
