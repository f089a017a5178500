#!/usr/bin/env bash
# Creates the keys and passwords of infra/compose.yaml once, in a file that only the user can read.
set -euo pipefail
cd "$(dirname "$0")/.."
file=${1:-runs/compose.env}

if [ -e "$file" ]; then
    echo "$file exists already; for new keys remove it, and the volumes that were created with it" >&2
    exit 0
fi
mkdir -p "$(dirname "$file")"
umask 077
for name in RAY_TOKEN S3_ACCESS_KEY S3_SECRET_KEY POSTGRES_PASSWORD MLFLOW_PASSWORD MLFLOW_SESSION_KEY \
    GRAFANA_PASSWORD; do
    printf '%s=%s\n' "$name" "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
done >"$file"
echo "$file"
