# A cron of its own, in a mount namespace of its own: cron.sh DIR
# DIR/spool is its spool, DIR/run its /run, and what it mails is in DIR/mail.*.
set -e
mount --make-rprivate /
mount --bind "$1/spool" /var/spool/cron
mount --bind "$1/run" /run
mount -t tmpfs tmpfs "$1/over" # an overlay cannot lie on another
mkdir "$1/over/up" "$1/over/work"
mount -t overlay overlay -o "lowerdir=/usr/sbin,upperdir=$1/over/up,workdir=$1/over/work" /usr/sbin
cat >/usr/sbin/sendmail <<END
#!/bin/sh
exec cat >"$1/mail.\$\$"
END
chmod 755 /usr/sbin/sendmail
exec cron -f
