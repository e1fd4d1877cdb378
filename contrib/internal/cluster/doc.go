// Package cluster brings up a Slurm cluster for tests: munge, a controller and two nodes on this machine, on loopback ports of its own,
// without systemd, all files in one folder. It needs root, Linux and Debian's slurm-wlm and munge.
//
// Each node, and the head with its controller, is a PID namespace whose first process reads commands from a pipe of this process. So a
// node is ended as by a power cut, with all that runs on it; and where this process dies, however it dies, the pipe closes and the
// kernel ends the whole cluster.
package cluster
