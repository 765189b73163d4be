# Sourced by the scripts next to it: makes the virtual environment .venv and keeps it up to date.
# The caller sets $root. Speaks on stderr only, and only while there is something to do.
#
# PYTHON chooses the interpreter; CMAKE_ARGS, if set, is how llama.cpp is built. Else it is built for
# the graphics cards that are here (gemma_mtp/models/build), and anew when cards or compilers change.
#
# What it keeps in .venv: setup.plain and setup.dev say what is installed; setup.cmake, by what
# arguments llama.cpp was built; setup.machine, for what machine these were chosen, if they were.

venv=$root/.venv
log=$venv/setup.log
lock=$venv/setup.lock
engine=$(sed -n 's/.*"\(llama-cpp-python==[^"]*\)".*/\1/p' "$root/pyproject.toml" | head -n 1)

say() { printf 'gemma-mtp: %s\n' "$*" >&2; }

# Where a person looks on, and the program's own hints name a command that is not on the PATH.
hint() {
    [ -t 2 ] && [ "${TERM:-dumb}" != dumb ] && ! command -v gemma-mtp >/dev/null 2>&1 || return 0
    printf '\033[2mHere "gemma-mtp pull e2b" is "%s pull e2b", and so for each command.\033[0m\n' "$0" >&2
}

die() {
    say "$*"
    exit 1
}

# setup plain|dev: afterwards $venv is complete, or the script has ended with a sentence why not.
setup() {
    level=$1
    is_ready && return
    mkdir -p "$venv" 2>/dev/null || die "Cannot write to $venv."
    take_lock
    if ! is_ready; then # nobody made it so while we waited
        make_venv
        install_project
    fi
    release_lock
}

# What the environment depends on. The path is in it because a moved environment does not work.
wanted_key() {
    printf '%s %s %s\n' "$(cksum <"$root/pyproject.toml")" "$1" "$root"
}

is_ready() { is_installed && is_built_as_wanted; }

is_installed() {
    [ -x "$venv/bin/gemma-mtp" ] && [ -f "$venv/setup.$level" ] || return 1
    venv_version=$(version_of "$venv/bin/python") || return 1
    if [ -n "${PYTHON:-}" ]; then
        [ "$(version_of "$PYTHON")" = "$venv_version" ] || return 1
    fi
    [ "$(cat "$venv/setup.$level")" = "$(wanted_key "$venv_version")" ]
}

# A build that the user asked for stays until another is asked for, or another release is needed.
is_built_as_wanted() {
    if [ -n "${CMAKE_ARGS:-}" ]; then
        [ "$(built_with)" = "$engine $CMAKE_ARGS" ]
    elif [ -f "$venv/setup.machine" ]; then
        [ "$(cat "$venv/setup.machine")" = "$(machine)" ]
    else
        case $(built_with) in "$engine "?*) ;; *) return 1 ;; esac
    fi
}

built_with() { cat "$venv/setup.cmake" 2>/dev/null; }

# All that the choice of a build depends on, as far as it can be had in no time.
system=
machine() {
    printf '%s\n' "$engine"
    for tool in nvcc nvidia-smi hipcc glslc; do command -v "$tool"; done
    for file in /usr/local/cuda/bin/nvcc /opt/cuda/bin/nvcc /opt/rocm/bin/hipcc /dev/kfd \
        /dev/dri/renderD128 /usr/include/vulkan/vulkan_core.h; do
        [ -e "$system$file" ] && readlink -f "$system$file"
    done
    grep -h '^Model' "$system"/proc/driver/nvidia/gpus/*/information 2>/dev/null
    cat "$system/proc/driver/nvidia/version" 2>/dev/null
    printf '%s\n' "${VULKAN_SDK:-}${CUDACXX:-}"
}

# Fails for anything that is not a Python of 3.11 or later.
version_of() {
    "$1" -IS -c 'import sys
if sys.version_info < (3, 11): sys.exit(1)
print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        version_of "$PYTHON" >/dev/null || die "PYTHON=$PYTHON is not a Python of 3.11 or later."
        python=$PYTHON
        return
    fi
    for python in python3 python3.14 python3.13 python3.12 python3.11 python; do
        version_of "$python" >/dev/null && return
    done
    die "Python 3.11 or later is needed and was not found; install it, or name it: PYTHON=/path/to/python3"
}

# Keeps an environment that works, whatever project version it holds; pip brings it up to date.
make_venv() {
    find_python
    if [ "$(version_of "$venv/bin/python")" = "$(version_of "$python")" ] &&
        [ "$(cat "$venv/setup.root" 2>/dev/null)" = "$root" ] &&
        "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        die "The venv module of $python is missing; on Debian and Ubuntu: apt install python3-venv"
    say "making the virtual environment $venv"
    for old in "$venv"/* "$venv"/.[!.]*; do
        [ "$old" = "$lock" ] || [ "$old" = "$lock.d" ] || rm -rf "$old"
    done
    "$python" -m venv "$venv" >"$log" 2>&1 </dev/null || fail "The virtual environment could not be made."
    printf '%s\n' "$root" >"$venv/setup.root"
}

install_project() {
    : >"$log"
    chosen=
    choose_build
    if [ "$(built_with)" != "$engine $arguments" ] && [ -n "$(built_with)$arguments" ]; then
        need_compiler
        build_engine
    fi
    if ! is_installed; then
        need_compiler
        rm -f "$venv/setup.plain" "$venv/setup.dev"
        case $level in dev) extra='[dev]' ;; *) extra= ;; esac
        pip_install "installing (minutes, if llama.cpp has to be compiled)" -e "$root$extra" ||
            fail "pip failed."
    fi
    if [ -n "$arguments" ] && ! "$venv/bin/python" -c 'import gemma_mtp.llama' >>"$log" 2>&1; then
        [ -z "${CMAKE_ARGS:-}" ] || fail "llama.cpp was built, and cannot be loaded."
        fall_back "was built, and cannot be loaded here"
    fi
    [ -z "$chosen" ] || machine >"$venv/setup.machine"
    for done in plain $level; do
        wanted_key "$(version_of "$venv/bin/python")" >"$venv/setup.$done"
    done
}

# Sets $arguments to what CMake is told, "" for llama.cpp's default build, and says why.
choose_build() {
    arguments=${CMAKE_ARGS:-}
    if [ -z "$arguments" ] && is_built_as_wanted; then
        arguments=$(built_with)
        arguments=${arguments#"$engine "}
        return
    fi
    rm -f "$venv/setup.machine"
    [ -z "$arguments" ] || return 0
    chosen=yes
    ask_for_build "$venv/bin/python" >"$venv/setup.choice" || : >"$venv/setup.choice"
    arguments=$(sed -n 1p "$venv/setup.choice")
    if [ -z "$arguments" ] && kind=$(ready_build); then
        say "llama.cpp stays as it was installed, for $kind."
        return
    fi
    sed 1d "$venv/setup.choice" | while IFS= read -r line; do
        case $line in
            ' '*) printf '%s\n' "$line" >&2 ;; # a command, to be copied
            *) say "$line" ;;
        esac
    done
}

# What a build of llama.cpp is for that the user has installed, as the advice above says; fails
# where it is one of the CPU's or was built here.
ready_build() {
    [ -z "$(built_with)" ] || return 1
    for kind in CUDA:cuda Vulkan:vulkan; do
        for file in "$venv"/lib/python*/site-packages/llama_cpp/lib/*ggml-"${kind#*:}"*; do
            [ ! -e "$file" ] || { echo "${kind%:*}" && return; }
        done
    done
    return 1
}

# ask_for_build PYTHON: CMake's arguments in a line, then lines for the user.
ask_for_build() {
    PYTHONPATH=$root "$1" -P -m gemma_mtp.models.build "${engine#*==}" 2>>"$log" </dev/null
}

# pip's cache does not know how a wheel in it was built, and has llama.cpp's default build only.
build_engine() {
    if [ -z "$arguments" ]; then
        pip_install "installing llama.cpp for the CPU" --no-deps --force-reinstall "$engine" ||
            fail "pip failed."
    elif ! pip_install "compiling llama.cpp with $arguments" \
        --no-deps --force-reinstall --no-cache-dir --no-binary llama-cpp-python "$engine"; then
        [ -z "${CMAKE_ARGS:-}" ] || fail "pip failed."
        fall_back "could not be compiled"
        return
    fi
    printf '%s %s\n' "$engine" "$arguments" >"$venv/setup.cmake"
}

# fall_back WHY: a build that was chosen here did not work; the CPU's does. Not tried again until the
# machine changes, or the user asks for it.
fall_back() {
    cp "$log" "$venv/setup.failed.log"
    say "llama.cpp with $arguments $1 ($venv/setup.failed.log says why)."
    say "It is built for the CPU instead. To try again: CMAKE_ARGS=\"$arguments\" $0"
    arguments=
    build_engine
}

# Said before minutes of downloads, not after them.
need_compiler() {
    for compiler in "${CXX:-c++}" g++ clang++; do
        command -v "${compiler%% *}" >/dev/null 2>&1 && return
    done
    if [ -z "${CMAKE_ARGS:-}" ]; then
        [ -z "$arguments" ] || say "Without a C++ compiler it is the CPU's build, if one is ready."
        arguments=
        ready=$(printf '%s' "$engine" | sed 's/-/_/g; s/==/-/')
        case $("$venv/bin/python" -m pip cache list llama_cpp_python 2>/dev/null) in
            *"$ready"*) return ;;
        esac
        "$venv/bin/python" -m pip install --quiet --dry-run --no-deps --only-binary :all: "$engine" \
            >>"$log" 2>&1 </dev/null && return
    fi
    die "A C++ compiler is needed to build llama.cpp; on Debian and Ubuntu: apt install g++"
}

# pip_install WORDS ARGUMENTS: pip's status. It runs in the foreground, so that Ctrl-C ends the compiler too.
pip_install() {
    words=$1
    shift
    say "$words"
    trap 'stop_showing' EXIT
    trap 'stop_showing; say "set-up stopped; the next call goes on."; exit 130' INT TERM
    show_progress 9>&- &
    showing=$!
    CMAKE_ARGS=$arguments "$venv/bin/python" -m pip --disable-pip-version-check --no-input \
        install -v "$@" \
        >>"$log" 2>&1 </dev/null
    status=$?
    stop_showing
    trap - EXIT INT TERM
    [ -n "${held_lock_dir:-}" ] && trap 'release_lock' EXIT
    return "$status"
}

show_progress() {
    trap - EXIT INT TERM
    begun=$(date +%s)
    last=0
    while sleep 1 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        elapsed=$(($(date +%s) - begun))
        step=$(tail -n 200 "$log" | grep -o '\[[0-9][0-9]*/[0-9][0-9]*\]' | tail -n 1)
        line="gemma-mtp: ${elapsed} s, ${step:+compile step $step}"
        [ -n "$step" ] || line="gemma-mtp: ${elapsed} s, fetching and preparing packages"
        if [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]; then
            printf '\r\033[K%s' "$line" >&2
        elif [ $((elapsed - last)) -ge 20 ]; then
            last=$elapsed
            printf '%s\n' "$line" >&2
        fi
    done
}

stop_showing() {
    [ -n "${showing:-}" ] || return 0
    kill "$showing" 2>/dev/null
    wait "$showing" 2>/dev/null
    showing=
    if [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]; then printf '\r\033[K' >&2; fi
}

fail() {
    tail -n 15 "$log" | sed 's/^/  | /' >&2
    die "$1 The whole log is in $log"
}

# One set-up at a time. flock lets go by itself when we are killed; the directory is for systems
# without it, and the process id in it tells a lock nobody holds any more.
take_lock() {
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$lock"
        flock -n 9 && return
        say "another set-up is running; waiting for it"
        flock 9
        return
    fi
    waited=0
    until mkdir "$lock.d" 2>/dev/null; do
        holder=$(cat "$lock.d/pid" 2>/dev/null)
        if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
            rm -rf "$lock.d"
            continue
        fi
        [ "$waited" -ne 0 ] || say "another set-up is running; waiting for it"
        [ -n "$holder" ] || [ "$waited" -lt 10 ] || rm -rf "$lock.d" # killed before it said who
        waited=$((waited + 1))
        sleep 1
    done
    echo $$ >"$lock.d/pid"
    held_lock_dir=yes
    trap 'release_lock' EXIT
    trap 'exit 130' INT TERM
}

release_lock() {
    [ -z "${held_lock_dir:-}" ] || rm -rf "$lock.d"
    held_lock_dir=
    trap - EXIT INT TERM
    exec 9>&-
}
