package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// MissingAccounts says why no accounting can be had here; "" where it can.
func MissingAccounts() string {
	for tool, in := range map[string]string{"slurmdbd": "slurmdbd", "sacctmgr": "slurm-wlm", "mariadbd": "mariadb-server-core", "mariadb-install-db": "mariadb-server-core", "my_print_defaults": "mariadb-client-core"} {
		if _, err := lookPath(tool); err != nil {
			return tool + " is not installed: Debian has it in " + in
		}
	}
	return ""
}

// accountsConfig is what slurm.conf says of the accounting. MinJobAge is for how many seconds the controller knows a job that is
// over: with accounting it may be short. Each minute the controller forgets such jobs. The pass is the path of munge's socket, where that is
// not the usual one.
const accountsConfig = `AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=%[2]d
AccountingStoragePass=%[1]s/run/munge.sock
MinJobAge=2
`

// dbdConfig is slurmdbd.conf. Without a password, since the database asks for none.
const dbdConfig = `AuthType=auth/munge
AuthInfo=socket=%[1]s/run/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=%[2]d
SlurmUser=root
PidFile=%[1]s/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=accounts
`

// startAccounts starts a database, which listens on a socket in the cluster's folder alone, and before it, for the controller, slurmdbd.
func (c *Cluster) startAccounts() error {
	data := filepath.Join(c.Dir, "db")
	socket := filepath.Join(data, "sock")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	me := "--user=root"
	install := exec.Command("mariadb-install-db", "--no-defaults", me, "--datadir="+data, "--skip-test-db", "--auth-root-authentication-method=normal")
	install.Env, install.Dir = c.env(), c.Dir
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	// Who may reach the socket may do all. It is in the one folder that is this user's alone.
	if err := c.head.start("mariadbd", "mariadbd --no-defaults "+me+" --datadir="+data+" --socket="+socket+
		" --skip-networking --skip-grant-tables --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 --pid-file="+c.Dir+"/run/db.pid", c.log("mariadbd")); err != nil {
		return err
	}
	if err := await("the database listens", func() bool { return listens("unix", socket) }); err != nil {
		return err
	}
	conf := filepath.Join(c.Dir, "slurmdbd.conf") // slurmdbd looks for it beside slurm.conf
	if err := os.WriteFile(conf, fmt.Appendf(nil, dbdConfig, c.Dir, c.accounts), 0o600); err != nil {
		return err
	}
	// The client's library takes the path of the socket from there.
	if err := c.head.start("slurmdbd", "MYSQL_UNIX_PORT="+socket+" slurmdbd -D", c.log("slurmdbd")); err != nil {
		return err
	}
	if err := await("slurmdbd listens", func() bool { return listens("tcp", fmt.Sprintf("127.0.0.1:%d", c.accounts)) }); err != nil {
		return err
	}
	for _, line := range []string{"cluster rig", "account default cluster=rig", "user root account=default"} {
		if out, err := c.Slurm(append([]string{"sacctmgr", "-i", "add"}, strings.Fields(line)...)...); err != nil {
			return errors.Join(err, errors.New(out))
		}
	}
	return nil
}

func listens(network, address string) bool {
	l, err := net.Dial(network, address)
	return err == nil && l.Close() == nil
}
