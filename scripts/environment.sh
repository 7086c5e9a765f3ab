# Sourced by scripts/demo and scripts/test: a virtual environment with pinned packages and this package in it.
#
#   make_environment "runtime bags" …    sets PYTHON_IN_VENV; quick when nothing has changed
#
# A machine with a sourced ROS 2 installation keeps using that; elsewhere ROS 2 comes from wheels:
# Jazzy, or with TIAE_ROS_DISTRO=kilted the Kilted ones (in an environment of their own).
# PYTHON=/path/to/python3 chooses the interpreter (3.10 or newer).

fail() { printf '%s\n' "$*" >&2; exit 1; }

make_environment() {
    local root=$1 sets=$2 python=${PYTHON:-python3} distro=${TIAE_ROS_DISTRO:-jazzy} venv options=() wanted=() name stamp
    command -v "$python" >/dev/null || fail "$python is not installed; install Python 3.10 or newer (Debian: apt-get install python3 python3-venv)"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$python is $("$python" --version 2>&1); needed is Python 3.10 or newer (choose one by PYTHON=…)"
    venv=$root/.venv
    if [ -n "${ROS_DISTRO:-}" ] && "$python" -c 'import rclpy' 2>/dev/null; then
        echo "ROS 2 $ROS_DISTRO is installed and sourced: using it"
        venv=$root/.venv-ros-$ROS_DISTRO
        options=(--system-site-packages)
    else
        [ -f "$root/requirements/ros-$distro.txt" ] || fail "TIAE_ROS_DISTRO is '$distro'; accepted are jazzy and kilted"
        [ "$(uname -sm)" = "Linux x86_64" ] ||
            fail "ROS 2 wheels exist for Linux x86-64 only, this is $(uname -sm); source a ROS 2 installation first"
        [ "$distro" = jazzy ] || venv=$root/.venv-$distro
        sets="$sets ros-$distro"
    fi
    for name in $sets; do wanted+=(-r "$root/requirements/$name.txt"); done
    stamp=$(cd "$root" && { "$python" --version; echo "$sets"; for name in $sets; do cat "requirements/$name.txt"; done; cat setup.py pyproject.toml; } | sha256sum)
    PYTHON_IN_VENV=$venv/bin/python
    if [ "$(cat "$venv/stamp" 2>/dev/null)" = "$stamp" ] &&
        # an ordinary `pip install .` would hide later edits of this tree
        "$PYTHON_IN_VENV" -c 'import sys, tiae_ros; sys.exit(not tiae_ros.__file__.startswith(sys.argv[1]))' "$root" 2>/dev/null
    then
        return
    fi
    echo "Installing pinned packages into ${venv#"$root"/} (once; a minute or two) …"
    rm -f "$venv/stamp"
    "$python" -m venv "${options[@]}" "$venv" || fail "cannot make $venv (Debian: apt-get install python3-venv)"
    "$PYTHON_IN_VENV" -m pip install --progress-bar off --disable-pip-version-check --no-compile \
        "${wanted[@]}" "setuptools>=64,<80" wheel | say_packages
    [ "${PIPESTATUS[0]}" = 0 ] || fail "installing packages failed; the lines above say which"
    # On all cores, where pip takes one. Packages have files that no Python compiles, and tests that nobody imports.
    "$PYTHON_IN_VENV" -m compileall -qq -j 0 -x '/site-packages/.*/tests/' "$venv/lib" >/dev/null || true
    echo "  tiae_ros itself …"
    "$PYTHON_IN_VENV" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e "$root" ||
        fail "installing tiae_ros itself failed; the lines above say why"
    printf '%s\n' "$stamp" > "$venv/stamp"
}

# Of what pip says, a line for each package, so that nobody waits without a word.
say_packages() {
    local line
    while IFS= read -r line; do
        case $line in
            "Collecting "*) line=${line#Collecting }; echo "  ${line%% (from *}" ;;
            "Installing collected packages"*) echo "  unpacking (half a minute) …" ;;
        esac
    done
}

# The other major version of OpenCV, in a folder of the environment that nothing has on its path.
add_other_opencv() {
    local root=$1 folder
    folder=$(dirname "$(dirname "$PYTHON_IN_VENV")")/opencv-5
    cmp -s "$root/requirements/opencv-5.txt" "$folder/stamp" && return
    rm -rf "$folder"
    if "$PYTHON_IN_VENV" -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder" \
        -r "$root/requirements/opencv-5.txt"
    then cp "$root/requirements/opencv-5.txt" "$folder/stamp"
    else echo "OpenCV 5 cannot be installed; its tests are left out"
    fi
}
