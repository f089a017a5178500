#!/usr/bin/env bash
# Makes the keys and passwords of infra/compose.yaml, once, in a file for the user alone.
set -euo pipefail
cd "$(dirname "$0")/.."
file=${1:-runs/compose.env}

if [ -e "$file" ]; then
    echo "$file is there already; remove it, and the volumes that were made with it, for new keys" >&2
    exit 0
fi
mkdir -p "$(dirname "$file")"
umask 077
for name in RAY_TOKEN S3_ACCESS_KEY S3_SECRET_KEY POSTGRES_PASSWORD MLFLOW_PASSWORD MLFLOW_SESSION_KEY \
    GRAFANA_PASSWORD; do
    printf '%s=%s\n' "$name" "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
done >"$file"
echo "$file"
