# A root folder that the systemd of this machine boots in: its /usr is bound there, read-only, by systemd-nspawn.
# root.sh DIR makes it, with a user kg whose manager runs without a login.
set -e
cd "$1"
mkdir -p usr etc/systemd/system var/lib/systemd/linger var/log var/tmp run tmp proc sys dev root home/kg
chmod 1777 tmp var/tmp
for l in bin sbin lib lib32 lib64 libx32; do
	if [ -L "/$l" ]; then ln -s "$(readlink "/$l")" "$l"; fi
done
for f in passwd group shadow nsswitch.conf pam.d security dbus-1 ld.so.conf ld.so.conf.d ld.so.cache alternatives login.defs; do
	if [ -e "/etc/$f" ]; then cp -a "/etc/$f" etc/; fi
done
cp -L /etc/os-release etc/os-release
: >etc/machine-id
echo kg >etc/hostname
echo 'kg:x:2000:2000::/home/kg:/bin/sh' >>etc/passwd
echo 'kg:x:2000:' >>etc/group
echo 'kg:*:19000:0:99999:7:::' >>etc/shadow
: >var/lib/systemd/linger/kg
# What a machine of this kind has no use for.
for u in systemd-networkd systemd-resolved systemd-timesyncd systemd-udevd systemd-udev-trigger systemd-firstboot systemd-sysusers systemd-modules-load \
	systemd-sysctl console-getty; do
	ln -s /dev/null "etc/systemd/system/$u.service"
done
ln -s /dev/null etc/systemd/system/getty.target
ln -s /lib/systemd/system/multi-user.target etc/systemd/system/default.target
