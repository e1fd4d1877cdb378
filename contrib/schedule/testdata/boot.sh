# Boots a systemd in a root folder, in control groups of its own, which it would share with others of its kind: boot.sh DIR NAME
set -e
for at in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
	[ -w "$at/cgroup.procs" ] || continue
	case $at in
	*/systemd) of=$(sed -n 's/^[0-9]*:name=systemd://p' /proc/self/cgroup) ;;
	*) of=$(sed -n 's/^0:://p' /proc/self/cgroup) ;;
	esac
	mkdir -p "$at$of/$2"
	echo $$ >"$at$of/$2/cgroup.procs"
done
# Control groups of version 1 may not tell that a service is empty.
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec systemd-nspawn --quiet --directory="$1" --machine="$2" --bind-ro=/usr --private-network \
	--register=no --keep-unit --boot --console=pipe systemd.log_target=journal
