#!/bin/sh
# Compiles the lean guest kernel from Debian's linux-source package: kernel.sh [OUTFILE] [--cached]
#
# The result is kept in ${XDG_CACHE_HOME:-~/.cache}/kilonova/kernel-<hash>/bzImage, where <hash> covers the source's
# version and kernel.config, and is copied to OUTFILE when one is given; the cached file's path is printed.
# --cached never compiles: exit status 3 when there is nothing in the cache.
# Packages: linux-source gcc make flex bison bc libelf-dev libssl-dev xz-utils; 5 minutes on two cores, 2 GB of disk.
# KILONOVA_KERNEL_SOURCE names another source archive, KILONOVA_KERNEL_JOBS the compiler jobs (default: all CPUs).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out='' cached_only=''
for arg in "$@"; do
  case $arg in --cached) cached_only=1 ;; *) out=$arg ;; esac
done

newest_source() {
  for file in /usr/src/linux-source-*.tar.xz; do [ -f "$file" ] && echo "$file"; done | sort -V | tail -n 1
}
source=${KILONOVA_KERNEL_SOURCE:-$(newest_source)}
if [ -z "$source" ] || [ ! -f "$source" ]; then
  echo "kernel.sh: no kernel source; install linux-source or set KILONOVA_KERNEL_SOURCE" >&2
  exit 3
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/kilonova
package=$(basename "$source" .tar.xz)
version=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null || stat -c %s "$source")
hash=$( (echo "$package $version"; cat "$here/kernel.config") | sha256sum | cut -c1-16)
kernel=$cache/kernel-$hash/bzImage

deliver() {
  if [ -n "$out" ]; then
    cp "$kernel" "$out.part.$$"
    mv "$out.part.$$" "$out"
  fi
  echo "$kernel"
}
if [ -f "$kernel" ]; then deliver; exit 0; fi
if [ -n "$cached_only" ]; then exit 3; fi

mkdir -p "$cache"
exec 9>"$cache/kernel.lock"
flock 9  # a second build of the same kernel waits for the first and takes its result
if [ -f "$kernel" ]; then deliver; exit 0; fi
work=$(mktemp -d "$cache/.kernel.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

# Of 1.3 GB of source, other machines' code and the largest driver headers are never read for this configuration.
tar -C "$work" -xf "$source" --no-wildcards-match-slash --exclude="$package/arch/[a-wyz]*/[abd-z]*" \
  --exclude="$package/drivers/gpu/drm/amd/include" --exclude="$package/tools/testing" \
  --exclude="$package/Documentation/*/*"
cd "$work/$package"
export KBUILD_BUILD_USER=guest KBUILD_BUILD_HOST=kilonova KBUILD_BUILD_TIMESTAMP='1970-01-01'
{
  make -s tinyconfig &&
  scripts/kconfig/merge_config.sh -m .config "$here/kernel.config" &&
  make -s olddefconfig &&
  nice -n 10 make -s -j "${KILONOVA_KERNEL_JOBS:-$(nproc)}" bzImage
} </dev/null >"$work/log" 2>&1 9>&- || {
  echo "kernel.sh: the compilation failed; the last lines of its log:" >&2
  tail -n 20 "$work/log" >&2
  exit 1
}
mkdir "$work/done"
cp arch/x86/boot/bzImage .config "$work/done/"
rm -rf "$(dirname "$kernel")"
mv "$work/done" "$(dirname "$kernel")"
deliver
