#!/usr/bin/env bash
# Makes the root of a small Debian from what this machine has of its packages.
#   debian.sh ROOT PACKAGE...
# ROOT becomes a tree with the files of each PACKAGE and of what it depends on, as this machine has them, dpkg's record of them,
# and the users and groups of a new Debian. It can be changed root to, and systemd started in it.
set -euo pipefail

root=$1
shift
# What is there without being depended on: what is essential, and what dpkg and systemd call.
essential="base-files base-passwd bash coreutils dash debianutils diffutils dpkg findutils grep gzip init-system-helpers libc-bin libpam-runtime login mount passwd perl-base sed systemd tar util-linux"

# installed prints the packages, and what they depend on, as far as they are here.
installed() {
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances --installed "$@" |
    { grep -v '^[ <]' || true; } | { xargs dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package}\n' 2>/dev/null || true; } | sed -n 's/^ii *//p' | sort -u
}

# list prints the files of packages, without what only people read.
list() {
  dpkg -L "$@" | grep '^/' |
    grep -vE '^/(\.|bin|sbin|lib|lib32|lib64|libx32)$|^/usr/share/(doc|info|i18n|lintian|locale|man)(/|$)|^/usr/lib/[^/]*-linux-gnu/gconv(/|$)' |
    sort -u | while read -r file; do if [ -e "$file" ] || [ -L "$file" ]; then echo ".$file"; fi; done
}

mkdir -p "$root"
for directory in bin sbin lib lib64; do
  mkdir -p "$root/usr/$directory"
  ln -s "usr/$directory" "$root/$directory"
done
# shellcheck disable=SC2086
mapfile -t packages < <(installed "$@" $essential)
list "${packages[@]}" | tar -C / --no-recursion -c -T - | tar -C "$root" -x
cp -a /etc/alternatives "$root/etc/"
# Nobody logs in.
for kind in account auth password session session-noninteractive; do
  echo "${kind%-*} required pam_permit.so" >"$root/etc/pam.d/common-$kind"
done
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates"
for package in "${packages[@]}"; do
  for list in "/var/lib/dpkg/info/$package.list" "/var/lib/dpkg/info/${package%:*}.list"; do
    [ ! -e "$list" ] || cp "$list" "$root/var/lib/dpkg/info/"
  done
done
dpkg-query -s "${packages[@]}" >"$root/var/lib/dpkg/status"
cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
: >"$root/etc/machine-id"
echo nameserver 192.0.2.1 >"$root/etc/resolv.conf"
