#!/bin/sh
# Tells what the role must know of a host, one key=value a line. Reads only, needs neither Python nor a writable folder,
# and runs in any POSIX shell, so that it works on hosts where no module of Ansible's does.
#   sh preflight.sh DIRECTORY STATE_FOLDER SECONDS    (the time that it is on the control node)
set -u
export LC_ALL=C
directory=$1
state=$2

tell() { printf '%s=%s\n' "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }
# The nearest folder that exists: what will be made below it lies on its file system.
standing() { path=$1; while [ ! -d "$path" ]; do path=$(dirname "$path"); done; printf '%s' "$path"; }
free_mb() { df -Pm "$(standing "$1")" 2>/dev/null | awk 'NR == 2 {print $4}'; }
# Options of the mount on which a folder lies: the longest mount point that begins its path.
mount_options() {
    path=$(cd "$(standing "$1")" && pwd -P)
    awk -v path="$path" '
        { point = $2; if (point != "/") point = point "/" }
        index(path "/", point) == 1 && length(point) >= best { best = length(point); options = $4 }
        END { print options }' /proc/mounts
}

tell marker libcensus-preflight-1
tell uid "$(id -u)"
tell nodename "$(uname -n)"
tell arch "$(uname -m)"
tell skew "$(($(date +%s) - $3))"
if [ -r /etc/os-release ]; then
    # shellcheck source=/dev/null
    . /etc/os-release
elif [ -r /usr/lib/os-release ]; then
    # shellcheck source=/dev/null
    . /usr/lib/os-release
fi
tell os_id "${ID:-unknown}"
tell os_like "${ID_LIKE:-}"
tell os_version "${VERSION_ID:-unknown}"
tell os_name "${PRETTY_NAME:-unknown}"

# The C library: `getconf` comes with glibc; musl has a loader of a known name.
libc=unknown
libc_version=0
if version=$(getconf GNU_LIBC_VERSION 2>/dev/null) && [ -n "$version" ]; then
    libc=glibc
    libc_version=${version#glibc }
else
    for loader in /lib/ld-musl-*; do
        [ -e "$loader" ] || continue
        libc=musl
        libc_version=$("$loader" 2>&1 | awk '/^Version/ {print $2}')
    done
    if [ "$libc" = unknown ] && have ldd; then
        libc_version=$(ldd --version 2>/dev/null | awk 'NR == 1 {print $NF}')
        case $libc_version in [0-9]*) libc=glibc ;; *) libc_version=0 ;; esac
    fi
fi
tell libc "$libc"
tell libc_version "${libc_version:-0}"

# grpcio needs the host's libstdc++ with this symbol version.
libstdcxx=no
for file in /usr/lib64/libstdc++.so.6 /usr/lib/libstdc++.so.6 /lib64/libstdc++.so.6 \
    "/usr/lib/$(uname -m)-linux-gnu/libstdc++.so.6" "/lib/$(uname -m)-linux-gnu/libstdc++.so.6"; do
    if [ -r "$file" ]; then
        if [ "$libc" = musl ] || grep -q GLIBCXX_3.4.19 "$file" 2>/dev/null; then libstdcxx=yes; break; fi
        libstdcxx=old
    fi
done
tell libstdcxx "$libstdcxx"

if [ -d /run/systemd/system ] && have systemctl; then
    tell init systemd
    tell systemd "$(systemctl --version | awk 'NR == 1 {sub(/[^0-9].*/, "", $2); print $2}')"
elif have rc-service; then
    tell init openrc
    tell systemd 0
else
    tell init unknown
    tell systemd 0
fi

tell free_mb "$(free_mb "$directory")"
tell state_free_mb "$(free_mb "$state")"
options=",$(mount_options "$directory"),"
case $options in *,noexec,*) tell noexec yes ;; *) tell noexec no ;; esac
case $options in *,ro,*) tell readonly yes ;; *) tell readonly no ;; esac
if have getenforce; then tell selinux "$(getenforce 2>/dev/null)"; else tell selinux absent; fi
if have restorecon; then tell restorecon yes; else tell restorecon no; fi
if have runuser; then tell runuser yes; else tell runuser no; fi
if have useradd; then tell useradd yes; else tell useradd no; fi
for tool in sha256sum tar gzip; do
    if have "$tool"; then tell "$tool" yes; else tell "$tool" no; fi
done

# The newest Python that the product runs on, for those who install from wheels.
python=
for name in python3.15 python3.14 python3.13 python3.12 python3.11 python3; do
    if have "$name" && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$(command -v "$name")
        break
    fi
done
tell python "$python"
if [ -n "$python" ] && "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    tell python_venv yes
else
    tell python_venv no
fi

# What earlier runs left: releases that are whole, with the digest of what they were made from.
for folder in "$directory"/*/; do
    [ -d "$folder" ] || continue
    name=$(basename "$folder")
    [ "$name" = current ] && continue
    if [ -r "$folder.complete" ]; then tell "release:$name" "$(cat "$folder.complete")"; else tell "unfinished:$name" yes; fi
done
tell current "$(readlink "$directory/current" 2>/dev/null)"
tell stamp "$(cat "$directory/.good/stamp" 2>/dev/null)"
facts=$state/identity/current/identity.json
if [ -r "$facts" ]; then
    tell enrolled yes
    tell enrolled_at "$(sed -n 's/.*"collector": *"\([^"]*\)".*/\1/p' "$facts")"
    tell host_id "$(sed -n 's/.*"host_id": *"\([0-9a-f]*\)".*/\1/p' "$facts")"
else
    tell enrolled no
    tell enrolled_at ''
    tell host_id ''
fi
