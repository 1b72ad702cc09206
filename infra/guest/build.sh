#!/bin/sh
# Builds a small cloud guest from Debian packages: build.sh OUTDIR, which gets cirros.qcow2 and cirros.json.
#
# KILONOVA_GUEST_KERNEL: lean (kernel.sh's, compiled if need be), debian (the cloud kernel's package, downloaded, with
# its modules), auto (default: lean if it is cached, else debian). KILONOVA_KERNEL_DEB names a package file to use.
# Needs no root, loop device or mount. Packages: busybox-static dropbear-bin dhcpcd-base syslinux syslinux-common mtools
# dosfstools e2fsprogs fdisk util-linux qemu-utils; for the debian kernel cpio and kmod; for the lean one what kernel.sh needs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh OUTDIR}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d "$out/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
root=$work/root
signature=6b696c6f # of the partition table; the lean kernel finds its root partition by it
export PATH=$PATH:/usr/sbin:/sbin

require() {
  for tool; do
    command -v "$tool" >/dev/null || { echo "build.sh: $tool is missing" >&2; exit 3; }
  done
}

choose_kernel() { # sets kind, and for lean also $work/vmlinuz
  kind=${KILONOVA_GUEST_KERNEL:-auto}
  case $kind in
    lean) "$here/kernel.sh" "$work/vmlinuz" >/dev/null ;;
    debian) ;;
    auto) if "$here/kernel.sh" "$work/vmlinuz" --cached >/dev/null 2>&1; then kind=lean; else kind=debian; fi ;;
    *) echo "build.sh: KILONOVA_GUEST_KERNEL is lean, debian or auto, not $kind" >&2; exit 2 ;;
  esac
}

unpack_debian_kernel() { # sets release and modules; makes $work/vmlinuz
  require cpio depmod modprobe dpkg-deb
  deb=${KILONOVA_KERNEL_DEB:-}
  if [ -z "$deb" ]; then
    name=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/{print $2; exit}')
    (cd "$work" && apt-get -qq download "$name" 2>"$work/apt.log") || { cat "$work/apt.log" >&2; exit 1; }
    deb=$(ls "$work"/linux-image-*.deb)
  fi
  dpkg-deb -x "$deb" "$work/kernel"
  modules=$(echo "$work"/kernel/lib/modules/*)
  release=${modules##*/}
  depmod -b "$work/kernel" "$release"
  cp "$work/kernel/boot/vmlinuz-$release" "$work/vmlinuz"
}

copy_program() { # copy_program FILE: with the libraries it is linked with
  cp "$1" "$root$1"
  ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root${library%/*}"
    cp -Ln "$library" "$root$library"
  done
}

fill_root() {
  for directory in bin sbin usr/bin usr/sbin etc/acpi/PWRF etc/dropbear proc sys dev run tmp mnt root home/cirros var/log \
    var/lib/cloud var/lib/dhcpcd; do mkdir -p "$root/$directory"; done
  install -m 4755 "$(command -v busybox)" "$root/bin/busybox" # ping and su; busybox drops the privilege elsewhere
  for applet in $(busybox --list); do
    case $applet in busybox|dpkg*|rpm*) ;; *) ln -s busybox "$root/bin/$applet" ;; esac
  done
  for applet in init getty reboot poweroff; do ln -s ../bin/busybox "$root/sbin/$applet"; done
  for program in /usr/sbin/dropbear /usr/bin/dropbearkey /usr/sbin/dhcpcd /usr/bin/resizepart /usr/sbin/resize2fs; do
    copy_program "$program"
  done
  for script in rcS rcK cloud kinds dhcp udhcpc dhcp6 dhcpcd resolv hotplug grow agent; do
    install -m 755 "$here/root/$script" "$root/etc/$script"
  done
  install -m 644 "$here/root/inittab" "$here/root/dhcpcd.conf" "$root/etc/"
  install -m 755 "$here/root/power-button" "$root/etc/acpi/PWRF/00000080"
  install -m 755 "$here/root/sudo" "$root/usr/bin/sudo"
  write_accounts
}

write_accounts() {
  printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'cirros:x:1000:1000:cirros:/home/cirros:/bin/sh' > "$root/etc/passwd"
  printf '%s\n' 'root:x:0:' 'cirros:x:1000:' > "$root/etc/group"
  { # an empty securetty keeps root, who has no password, from logging in by himself
    echo 'root::19000:0:99999:7:::'
    echo "cirros:$(busybox mkpasswd -m sha512 gocubsgo):19000:0:99999:7:::"
  } > "$root/etc/shadow"
  : > "$root/etc/securetty"
  chmod 600 "$root/etc/shadow"
  echo /bin/sh > "$root/etc/shells"
  echo cirros > "$root/etc/hostname"
  echo '127.0.0.1 localhost' > "$root/etc/hosts"
  echo "PS1='\$ '" > "$root/etc/profile"
}

install_modules() { # install_modules TREE LIST MODULE...: flat, with LIST naming them in the order of their dependencies
  target=$1/lib/modules/$release list=$2
  mkdir -p "$target"
  shift 2
  for module; do
    modprobe -d "$work/kernel" -S "$release" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" {print $2}'
  done | awk '!seen[$0]++' | while read -r file; do
    [ -f "$target/${file##*/}" ] || cp "$file" "$target/"
    echo "${file##*/}"
  done > "$target/$list"
}

make_initrd() {
  initrd=$work/initrd
  mkdir -p "$initrd/bin" "$initrd/proc" "$initrd/sys" "$initrd/dev" "$initrd/newroot"
  install -m 755 "$(command -v busybox)" "$initrd/bin/busybox"
  for applet in sh mount insmod switch_root sleep cat; do ln -s busybox "$initrd/bin/$applet"; done
  install_modules "$initrd" virtio.list virtio_pci virtio_blk
  install_modules "$initrd" boot.list virtio_pci virtio_scsi sd_mod ata_piix ahci
  install -m 755 "$here/root/initramfs-init" "$initrd/init"
  install_modules "$root" root.list virtio_pci virtio_net virtio_rng isofs vfat nls_ascii nls_cp437 ata_piix ahci sr_mod \
    sd_mod virtio_scsi virtio_balloon virtio_console button evdev
  (cd "$initrd" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) > "$work/initrd.img"
}

make_root_partition() { # root_mb MiB of ext4 whose files belong to root, whoever builds
  truncate -s "${root_mb}M" "$work/root.ext4"
  mke2fs -q -t ext4 -L cirros-rootfs -b 4096 -J size=4 -m 0 -E root_owner=0:0 -d "$root" "$work/root.ext4"
  (cd "$root" && find . ! -type l) | while read -r file; do
    owner=0
    case $file in ./home/cirros*) owner=1000 ;; esac
    printf 'sif "%s" uid %s\nsif "%s" gid %s\n' "${file#.}/" $owner "${file#.}/" $owner
  done | sed 's#\([^"]\)/" #\1" #' > "$work/owners"
  debugfs -w -f "$work/owners" "$work/root.ext4" >/dev/null 2>&1
}

make_boot_partition() { # boot_mb MiB of FAT with the kernel and syslinux
  arguments='console=tty1 console=ttyS0 quiet tsc=reliable no_timer_check random.trust_cpu=on mitigations=off'
  {
    printf '%s\n' 'DEFAULT linux' 'PROMPT 0' 'TIMEOUT 0' 'LABEL linux' '  LINUX /vmlinuz'
    case $kind in
      lean) echo "  APPEND root=PARTUUID=$signature-01 rootfstype=ext4 rootwait rw $arguments" ;;
      debian) printf '%s\n' '  INITRD /initrd.img' "  APPEND $arguments" ;;
    esac
  } > "$work/syslinux.cfg"
  truncate -s "${boot_mb}M" "$work/boot.fat"
  mkfs.vfat -F 16 -s 1 -n BOOT "$work/boot.fat" >/dev/null
  mcopy -i "$work/boot.fat" "$work/vmlinuz" "$work/syslinux.cfg" ::
  if [ "$kind" = debian ]; then mcopy -i "$work/boot.fat" "$work/initrd.img" ::; fi
  syslinux --install "$work/boot.fat"
}

assemble_disk() { # boot partition first on the disk, root partition last, so that it can grow
  truncate -s "$((1 + boot_mb + root_mb))M" "$work/disk"
  sfdisk -q "$work/disk" <<EOF
label: dos
label-id: 0x$signature
1 : start=$(((1 + boot_mb) * 2048)), size=$((root_mb * 2048)), type=83
2 : start=2048, size=$((boot_mb * 2048)), type=e, bootable
EOF
  dd if=/usr/lib/syslinux/mbr/mbr.bin of="$work/disk" bs=440 count=1 conv=notrunc status=none
  dd if="$work/boot.fat" of="$work/disk" bs=1M seek=1 conv=notrunc,sparse status=none
  dd if="$work/root.ext4" of="$work/disk" bs=1M seek="$((1 + boot_mb))" conv=notrunc,sparse status=none
  qemu-img convert -O qcow2 -c "$work/disk" "$work/cirros.qcow2"
}

require busybox dropbear dhcpcd syslinux mcopy mkfs.vfat mke2fs debugfs sfdisk resizepart resize2fs qemu-img
choose_kernel
fill_root
case $kind in
  lean) boot_mb=8 root_mb=40 min_ram=48 ;;
  debian)
    boot_mb=32 root_mb=48 min_ram=80
    unpack_debian_kernel
    make_initrd
    ;;
esac
make_root_partition
make_boot_partition
assemble_disk
mv "$work/cirros.qcow2" "$out/cirros.qcow2"
printf '{"kernel": "%s", "min_ram": %d, "sha256": "%s"}\n' "$kind" "$min_ram" \
  "$(sha256sum "$out/cirros.qcow2" | cut -d ' ' -f 1)" > "$work/cirros.json"
mv "$work/cirros.json" "$out/cirros.json"
