#!/usr/bin/env bash
# Creates .venv with the locked versions, and installs the system packages that it needs.
#
# `make env` calls it. A second run ends at once if nothing has changed. Settings:
#   PYTHON=/path/to/python3.12   the Python to use (by default the first suitable one)
#   RAYBOOT_NO_APT=1             install no system packages, print the command instead
#
# The settings of pip itself (index, proxy, cache) are those of the user.
set -euo pipefail
unset PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

cd "$(dirname "$0")/.."
venv=.venv
log=$venv/install.log
stamp=$venv/rayboot-stamp
cpu_index=https://download.pytorch.org/whl/cpu
egl_packages=(libegl1 libegl-mesa0 libgl1 libglx-mesa0 libgl1-mesa-dri libopengl0 libgles2)

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "make env: $1"
    shift
    for line in "$@"; do say "    $line"; done
    exit 1
}

# watched LABEL COMMAND...: runs a command with its output in the log, and prints its progress every
# 10 seconds.
watched() {
    local label=$1 started=$SECONDS last_report=$SECONDS status=0
    shift
    say "  $label"
    printf '== %s\n' "$*" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null &
    local pid=$!
    trap 'kill "$pid" 2>/dev/null || true; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.5
        if ((SECONDS - last_report >= 10)); then
            last_report=$SECONDS
            say "    $((SECONDS - started)) s: $(current_step)"
        fi
    done
    wait "$pid" || status=$?
    trap - INT TERM
    if ((status == 0)); then
        say "    done in $((SECONDS - started)) s"
    fi
    return "$status"
}

current_step() {
    local line
    line=$({ grep -E '^ *(Get:|Collecting|Downloading|Building|Installing|Setting up|Unpacking)' "$log" || true; } |
        tail -n 1 | sed 's/^ *//' | cut -c1-70)
    case $line in
    # pip prints one line for all packages, which take minutes: the installed ones are counted.
    Installing\ collected*)
        line="installing, $(find "$venv" -maxdepth 5 -name '*.dist-info' | wc -l) packages in place"
        ;;
    esac
    printf '%s' "$line"
}

# Whether the user may install packages: as root, or with sudo without a password. Sets $as_root.
may_install() {
    as_root=()
    [ -z "${RAYBOOT_NO_APT:-}" ] && command -v apt-get >/dev/null || return 1
    [ "$(id -u)" -ne 0 ] || return 0
    as_root=(sudo -n)
    command -v sudo >/dev/null && sudo -n true 2>/dev/null
}

apt_install() {
    watched "apt-get update" "${as_root[@]}" apt-get update &&
        watched "apt-get install $*" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends "$@"
}

command_for() { printf 'sudo apt-get update && sudo apt-get install -y %s' "$*"; }

is_supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; }
can_create_venv() { "$1" -c 'import ensurepip, ssl, sqlite3, venv' 2>/dev/null; }

# Sets $python to the first Python 3.11 or 3.12, preferably one that can create environments.
# Each candidate is run, because version managers leave shims on PATH.
find_python() {
    python=
    local candidate without_venv=
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.11 python3.12 \
        /usr/bin/python3.11 /usr/bin/python3.12 /usr/local/bin/python3.11 /usr/local/bin/python3.12; do
        command -v "$candidate" >/dev/null && is_supported "$candidate" || continue
        if can_create_venv "$candidate"; then
            python=$candidate
            return 0
        fi
        without_venv=${without_venv:-$candidate}
    done
    python=$without_venv
    return 1
}

need_python() {
    find_python && return 0
    local version packages
    if [ -n "$python" ]; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        packages=("python$version-venv")
    elif command -v apt-cache >/dev/null; then
        may_install && { watched "apt-get update" "${as_root[@]}" apt-get update || true; }
        for version in 3.12 3.11; do
            if [ -n "$(apt-cache search --names-only "^python$version-venv\$" 2>/dev/null)" ]; then
                packages=("python$version" "python$version-venv")
                break
            fi
        done
    fi
    if [ -z "${packages+set}" ]; then
        fail "needs Python 3.11 or 3.12, but neither is on PATH or in the package lists of this system; run one of" \
            "uv python install 3.12 && make env PYTHON=\"\$(uv python find 3.12)\"" \
            "pyenv install 3.12 && make env PYTHON=\"\$(pyenv prefix 3.12)/bin/python3\"" \
            "sudo apt-get update    (if the package lists are empty or old; then run the same command again)"
    fi
    if may_install; then
        say "Python: ${packages[*]} missing, installing"
        apt_install "${packages[@]}" || { tail -n 15 "$log" >&2; }
        find_python && return 0
    fi
    fail "needs Python 3.11 or 3.12 with venv; install it, then run the same command again:" \
        "$(command_for "${packages[@]}")"
}

# Prints the names of what off-screen rendering lacks; empty if EGL starts.
egl_problems() {
    "$python" - <<'PY'
import ctypes
import glob
import os

for name in ("libEGL.so.1", "libGL.so.1", "libOpenGL.so.0", "libGLESv2.so.2"):
    try:
        ctypes.CDLL(name)
    except OSError:
        print(name)
folders = ("/usr/share/glvnd/egl_vendor.d", "/etc/glvnd/egl_vendor.d")
vendors = [file for folder in folders for file in glob.glob(f"{folder}/*.json")]
if not os.path.exists("/dev/nvidia0"):
    vendors = [file for file in vendors if "nvidia" not in os.path.basename(file)]
if not vendors and "__EGL_VENDOR_LIBRARY_FILENAMES" not in os.environ:
    print("Mesa's EGL vendor file")
try:
    egl = ctypes.CDLL("libEGL.so.1")
except OSError:
    raise SystemExit
# Like the renderer, this needs a device but no screen. Every device that EGL lists is tried.
egl.eglGetProcAddress.restype = ctypes.c_void_p
pointer, number = ctypes.c_void_p, ctypes.c_int


def function(name, *types):
    address = egl.eglGetProcAddress(name)
    return ctypes.CFUNCTYPE(*types)(address) if address else None


query = function(b"eglQueryDevicesEXT", number, number, pointer, pointer)
display_of = function(b"eglGetPlatformDisplayEXT", pointer, number, pointer, pointer)
devices, count = (pointer * 16)(), number(0)
if query and display_of:
    query(16, devices, ctypes.byref(count))
egl.eglInitialize.argtypes = [pointer] * 3
if not any(
    egl.eglInitialize(display_of(0x313F, device, None), None, None)
    for device in devices[: count.value]
):
    print("a driver that EGL can start without a screen")
PY
}

need_egl() {
    local problems
    problems=$(egl_problems | paste -sd, -)
    [ -n "$problems" ] || return 0
    say "EGL: missing $problems"
    if may_install; then
        apt_install "${egl_packages[@]}" || { tail -n 15 "$log" >&2; }
        problems=$(egl_problems | paste -sd, -)
        [ -n "$problems" ] || return 0
    fi
    fail "off-screen rendering needs EGL, missing: $problems; install it, then run the same command again:" \
        "$(command_for "${egl_packages[@]}")"
}

has_gpu() { [ -e /dev/nvidia0 ] || nvidia-smi -L >/dev/null 2>&1; }

# With a GPU: torch.compile builds kernels with a C compiler and Python's headers. Networks also run
# without, more slowly, so a missing compiler is no failure.
need_compiler() {
    local headers packages
    headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    if { command -v gcc || command -v clang; } >/dev/null && [ -e "$headers/Python.h" ]; then
        return 0
    fi
    packages=(gcc libc6-dev "$("$python" -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])')")
    say "compilation of networks: missing ${packages[*]}"
    if may_install && apt_install "${packages[@]}"; then
        return 0
    fi
    say "    networks run uncompiled until they are installed: $(command_for "${packages[@]}")"
}

# Without a GPU: installs PyTorch's CPU build from PyTorch's own index, which is tried once with a
# short timeout. If it is unavailable, the next step installs what pip finds for the pinned version.
need_cpu_torch() {
    local version
    version=$(sed -n 's/^torch==//p' constraints.txt)
    "$venv/bin/python" -c "
from importlib.metadata import version
raise SystemExit(version('torch').split('+')[0] != '$version')" 2>/dev/null && return 0
    watched "PyTorch $version, CPU build (no GPU here)" "$venv/bin/python" -m pip install --no-deps \
        --timeout 5 --retries 1 --index-url "$cpu_index" "torch==$version" ||
        say "    PyTorch's CPU index is unavailable; installing what pip finds for torch $version"
}

# Whether the existing environment belongs to this folder (its scripts contain the path) and Python.
identity() { "$1" -c 'import sys; print(sys.base_prefix, *sys.version_info)' 2>/dev/null; }
venv_is_ours() {
    [ "$(cat "$venv/rayboot-folder" 2>/dev/null)" = "$PWD" ] && is_supported "$venv/bin/python" &&
        { [ -z "${PYTHON:-}" ] || [ "$(identity "$venv/bin/python")" = "$(identity "$PYTHON")" ]; }
}

if [ -n "${PYTHON:-}" ] && ! is_supported "$PYTHON"; then
    fail "PYTHON=$PYTHON is not a Python 3.11 or 3.12; choose another, or omit PYTHON"
fi
key=$(cat pyproject.toml constraints.txt infra/install.sh | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && venv_is_ours; then
    exit 0
fi

say "Preparing rayboot's environment in $venv (once; log in $log)"
mkdir -p "$venv"
: >"$log"
if venv_is_ours; then
    python=$venv/bin/python
    need_egl
else
    need_python
    need_egl
    say "Python: $(command -v "$python"), $("$python" -V 2>&1)"
    "$python" -m venv --clear "$venv" || fail "could not create $venv with $python; see the lines above"
    printf '%s\n' "$PWD" >"$venv/rayboot-folder"
fi

extras=dev
if has_gpu; then
    extras=$extras,gpu
    need_compiler
else
    need_cpu_torch
fi
if ! watched "rayboot and the versions of constraints.txt" \
    "$venv/bin/python" -m pip install -c constraints.txt -e ".[$extras]"; then
    tail -n 15 "$log" >&2
    fail "pip could not install rayboot (the last lines of $log are above); check the network and the disk" \
        "(at least 5 GB free, 12 GB with a GPU), then run the same command again"
fi
printf '%s\n' "$key" >"$stamp"
say "Ready in $SECONDS s. The command is $venv/bin/rayboot; 'source $venv/bin/activate' puts it on PATH."
