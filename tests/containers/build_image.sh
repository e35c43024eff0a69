#!/usr/bin/env bash
# Builds the image that these tests serve from: Debian, its Python, and the genuine llama-server out of the wheel, entry point and all.
# Usage, as root, with debootstrap and docker: build_image.sh REFERENCE PYTHON   (PYTHON has pip; the image has a Python of its own)
set -euo pipefail
reference=$1 python=$2
repository=$(cd "$(dirname "$0")/../.." && pwd)
root=$(mktemp -d)
trap 'umount "$root"; rmdir "$root"' EXIT
mount -t tmpfs -o size=2g tmpfs "$root" # dpkg waits for the disk after every file

# From where this host's apt takes bookworm, if it does; else from debootstrap's own choice.
mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' | awk '$2 == "bookworm" {site = $1} END {print site}') || true
debootstrap --variant=minbase --include=python3,libgomp1,libstdc++6 bookworm "$root" ${mirror:+"$mirror"}
# Debian bookworm has Python 3.11; the wheel is chosen for it and checked against the lock's hashes.
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --python-version 3.11 \
    --target "$root/opt/llama" -r "$repository/envs/llamacpp.txt"
cp "$repository/workflow/scripts/servers/llama_server.py" "$root/opt/llama/"
rm -rf "$root"/var/cache/apt "$root"/var/lib/apt/lists "$root"/usr/share/{doc,man,locale}

tar -C "$root" --numeric-owner -c . | docker import \
    --change 'ENTRYPOINT ["python3", "/opt/llama/llama_server.py"]' --change 'EXPOSE 8080' - "$reference"
