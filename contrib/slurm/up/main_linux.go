// Up brings up a Slurm cluster of two nodes on this machine, says how commands reach it, and takes it down when it is interrupted.
//
//	go run ./contrib/slurm/up
//
// It needs root and Debian's slurm-wlm and munge.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"kugetsu/contrib/internal/cluster"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	if why := cluster.Missing(); why != "" {
		return errors.New(why)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "kugetsu-slurm-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := cluster.Start(dir)
	if err != nil {
		return err
	}
	fmt.Printf("export SLURM_CONF=%s\n", c.Conf())
	fmt.Fprintf(os.Stderr, "the nodes %s are up until this is interrupted\n", strings.Join(c.Nodes, " and "))
	<-ctx.Done()
	return c.Stop()
}
