#!/bin/bash
# The common beginning of both lifecycle scripts: brings the program and the samples of the platform
# from the bucket of deployed files. Needs bash and a Python with boto3 and psutil, and nothing from
# the internet. SageMaker ends a script, and the start with it, after five minutes.
set -euo pipefail

# Written by the stack, as JSON.
SETTINGS='@SETTINGS@'
HOME_FOLDER="${SMP_NOTEBOOK_HOME:-/home/ec2-user}"
DELIVERED="$HOME_FOLDER/.sagemaker-platform"

# SageMaker runs this as root, which the notebook's user must not become. That user can change all
# that is run here, so all of it runs as that user.
as_user() {
    if [ -z "${SMP_NOTEBOOK_HOME:-}" ] && [ "$(id -u)" = 0 ]; then
        runuser -u ec2-user -- env HOME="$HOME_FOLDER" "$@"
    else
        "$@"
    fi
}

find_python() {
    local candidate
    for candidate in \
        "$HOME_FOLDER/anaconda3/envs/JupyterSystemEnv/bin/python3" \
        "$HOME_FOLDER/anaconda3/envs/python3/bin/python3" \
        python3; do
        if as_user "$candidate" -c 'import boto3, psutil' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Found no Python with boto3 and psutil: neither Jupyter's, nor the kernel python3's," \
        "nor python3 of PATH." >&2
    return 1
}

# run_platform COMMAND: one command of the delivered program.
run_platform() {
    as_user env PYTHONPATH="$DELIVERED" "$PYTHON" -m notebook_instance "$1"
}

# in_background COMMAND: the same without waiting for it; what it says is in a log.
in_background() {
    as_user mkdir -p "$DELIVERED/log"
    as_user env PYTHONPATH="$DELIVERED" PYTHONUNBUFFERED=1 \
        nohup "$PYTHON" -m notebook_instance "$1" \
        >>"$DELIVERED/log/$1.log" 2>&1 </dev/null &
}

PYTHON="$(find_python)"
as_user "$PYTHON" - "$SETTINGS" "$DELIVERED" <<'PYTHON'
import io
import json
import pathlib
import shutil
import sys
import zipfile

import boto3

settings, folder = json.loads(sys.argv[1]), pathlib.Path(sys.argv[2])
s3 = boto3.client("s3", region_name=settings["region"])
found = s3.get_object(Bucket=settings["files_bucket"], Key=settings["files_key"])
folder.mkdir(parents=True, exist_ok=True)
for old in ("notebook_instance", "samples"):
    shutil.rmtree(folder / old, ignore_errors=True)
zipfile.ZipFile(io.BytesIO(found["Body"].read())).extractall(folder)
(folder / "settings.json").write_text(sys.argv[1], encoding="utf-8")
print(f"files: {settings['files_key']} into {folder}")
PYTHON
