#!/usr/bin/env bash
# Runs a command in a small virtual machine whose kernel has the unified cgroup hierarchy (v2: cpu, memory, io, pids), PSI, overlayfs and a disk.
#   run.sh [-f FILE]... [-d DIR]... [-C DIR] -- COMMAND ARG...
#   run.sh -K: downloads the kernel and does nothing else.
# Each FILE (with the libraries it links) and each DIR is copied to the same path in the machine; COMMAND is run there as root, in DIR (/root).
# Prints what the command prints; exits with its status, or with 70 when the machine did not get that far.
# VM_MEM (MiB, 1024), VM_CPUS (2), VM_TIMEOUT (s, 600), VM_CACHE (a folder that keeps the kernel).
# Software emulation: needs no /dev/kvm. Debian packages: qemu-system-x86 busybox-static cpio; the kernel's package is downloaded and unpacked, not installed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
cache=${VM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/midge/cgroup2vm}
directory=/root

# kernel downloads the kernel once. Two runs at once do not disturb each other: the unpacked tree is moved into place.
kernel() {
  ls "$cache"/kernel/boot/vmlinuz-* >/dev/null 2>&1 && return
  mkdir -p "$cache"
  local package
  package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ {print $2; exit}')
  [ -n "$package" ] || { echo "apt knows no linux-image-cloud-amd64: run apt-get update first" >&2; exit 69; }
  (cd "$work" && apt-get download -q "$package" >"$work/download" 2>&1) || { cat "$work/download" >&2; exit 69; }
  dpkg -x "$work/$package"_*.deb "$work/kernel"
  rm -f "$work/$package"_*.deb
  mv -T "$work/kernel" "$cache/kernel" 2>/dev/null || ls "$cache"/kernel/boot/vmlinuz-* >/dev/null
}

# put copies a file with the libraries it links.
put() {
  mkdir -p "$root$(dirname "$1")"
  cp -L "$1" "$root$1"
  { ldd "$1" 2>/dev/null || true; } | { grep -oE '/[^ ]+' || true; } | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
}

mkdir -p "$root"/{bin,sbin,proc,sys,dev,tmp,run,lib/modules,root,etc,var/lib,disk}
chmod 1777 "$root/tmp"
while [ $# -gt 0 ]; do
  case $1 in
    -f) put "$2"; shift 2 ;;
    -d) mkdir -p "$root$2"; cp -a "$2/." "$root$2/"; shift 2 ;;
    -C) directory=$2; shift 2 ;;
    -K) kernel; exit ;;
    --) shift; break ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
  esac
done

kernel
cp "$(command -v busybox)" "$root/bin/busybox"
ln -sf busybox "$root/bin/sh"
for module in overlay veth bridge stp llc quota_tree quota_v2; do
  file=$(find "$cache/kernel/lib/modules" -name "$module.ko*" | head -n 1)
  [ -z "$file" ] || cp "$file" "$root/lib/modules/"
done
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"
{ printf 'cd %q && ' "$directory"; printf '%q ' "$@"; } >"$root/command"

cat >"$root/init" <<'INIT'
#!/bin/busybox sh
# The first root is an initramfs, which pivot_root refuses to leave: go on from a tmpfs.
/bin/busybox mkdir /new
/bin/busybox mount -t tmpfs -o size=90% root /new
for file in /*; do [ "$file" = /new ] || /bin/busybox cp -a "$file" /new/; done
exec /bin/busybox switch_root /new /init2
INIT
cat >"$root/init2" <<'INIT'
#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup /sys/fs/cgroup
for module in llc stp overlay veth bridge quota_tree quota_v2; do insmod /lib/modules/$module.ko 2>/dev/null; done
mount -t ext4 -o prjquota /dev/nvme0n1 /disk
ip link set lo up 2>/dev/null
hostname cgroup2vm
mkdir /sys/fs/cgroup/init
echo 1 >/sys/fs/cgroup/init/cgroup.procs
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
  echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null
done
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
echo "=== begin"
sh /command </dev/null 2>&1
echo "=== end $?"
poweroff -f
INIT
chmod 755 "$root/init" "$root/init2"
(cd "$root" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"
truncate -s 256M "$work/disk"
mkfs.ext4 -q -F -O quota,project -E quotatype=prjquota "$work/disk"

timeout "${VM_TIMEOUT:-600}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m "${VM_MEM:-1024}" -smp "${VM_CPUS:-2}" \
  -nographic -no-reboot -nic none -drive "file=$work/disk,if=none,id=disk,format=raw,cache=unsafe" -device nvme,drive=disk,serial=disk \
  -kernel "$(ls "$cache"/kernel/boot/vmlinuz-* | tail -n 1)" -initrd "$work/initrd" \
  -append "console=ttyS0 quiet psi=1 panic=-1 cgroup_no_v1=all" </dev/null 2>&1 |
  tr -d '\r' | tee "$work/log" | sed -n '/=== begin/,/=== end/{/===/!p}' || true
status=$(sed -n 's/^=== end \([0-9]*\)$/\1/p' "$work/log" | tail -n 1)
if [ -z "$status" ]; then
  echo "the machine did not reach the end of the command:" >&2
  tail -n 20 "$work/log" >&2
  exit 70
fi
exit "$status"
