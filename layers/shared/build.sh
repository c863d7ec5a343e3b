#!/bin/sh
# build.sh FOLDER: the layer's content in FOLDER/python, everything compiled.
#
# Without BUILD_FOR the layer is for Lambda and holds the compiled modules of both of its architectures, side by side under
# names of their own: the template's Architecture alone decides, and a plain `sam build` is right for either.
# BUILD_FOR=host builds for this machine, which need not be a Linux: the embedded AWS runs the functions here.
set -eu

mkdir -p "$1"
target=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.." # uv finds .python-version there, and no other project's

case ${BUILD_FOR:-lambda} in
host) platforms=$(uname -s)-$(uname -m) ;;
lambda) platforms='x86_64-manylinux_2_28 aarch64-manylinux_2_28' ;;
*) echo "BUILD_FOR is '$BUILD_FOR'; it can be 'host' or 'lambda'" >&2; exit 1 ;;
esac

# dependencies FOLDER: the locked packages for all platforms, less what nothing reads at run time.
dependencies() {
    for platform in $platforms; do
        case ${BUILD_FOR:-lambda} in
        host) set -- "$1" ;;
        lambda) set -- "$1" --python-platform "$platform" --python-version 3.13 --only-binary :all: ;;
        esac
        folder=$1 && shift
        local/uv pip install --quiet --no-config --python 3.13 --require-hashes --no-deps --link-mode copy \
            --target "$folder/$platform" "$@" -r layers/shared/requirements.txt
        set -- "$folder"
        mkdir -p "$1/python" && cp -R "$1/$platform/." "$1/python" && rm -rf "${1:?}/$platform"
    done
    # Examples, tests, typing stubs, installer's notes.
    rm -rf "$1/python/bin" "$1/python/.lock"
    find "$1/python" -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +
    rm -rf "$1/python/boto3/data" "$1/python/boto3/examples" # resources, which nothing here makes
    find "$1/python" \( -name '*.pyi' -o -name 'examples-*.json*' -o -path '*.dist-info/RECORD' \
        -o -path '*.dist-info/INSTALLER' -o -path '*.dist-info/REQUESTED' -o -path '*.dist-info/*.json' \) -exec rm -f {} +
    local/uv run --quiet --no-project --no-config --python 3.13 -- \
        python layers/shared/trim.py "$1/python/botocore/data"
    local/uv run --quiet --no-project --no-config --python 3.13 -- \
        python layers/shared/authorities.py "$1/python/botocore/cacert.pem" "$1/python/authorities"
    local/compile "$1" /opt
}

# What the lock, the platforms and this file decide is kept between builds.
kept=.build/layer/$(cat layers/shared/build.sh layers/shared/trim.py layers/shared/authorities.py layers/shared/requirements.txt | cksum | tr ' ' -)/$(echo "$platforms" | tr ' ' +)
if [ ! -d "$kept" ]; then
    mkdir -p "$(dirname "$kept")"
    new=$(mktemp -d "$kept.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    dependencies "$new"
    [ -d "$kept" ] || mv "$new" "$kept" # another build may have been quicker, with the same result
fi

mkdir -p "$target/python"
cp -R "$kept/python/." "$target/python"
cp -R layers/shared/navietakie "$target/python"
find "$target/python/navietakie" -name __pycache__ -prune -exec rm -rf {} + # left by the tests
local/compile "$target" /opt python/navietakie
