#!/usr/bin/env bash
# Writes the templates of this folder with the values of a settings file: render.sh SETTINGS FOLDER
set -euo pipefail

settings=${1:?render.sh SETTINGS FOLDER}
folder=${2:?render.sh SETTINGS FOLDER}
here=$(dirname "$0")

fail() {
    printf 'render.sh: %s\n' "$1" >&2
    exit 2
}

[ -r "$settings" ] || fail "$settings: expected a readable file with settings"
names=$(sed -n 's/^\([A-Z_]*\)=.*/\1/p' "$settings")
# shellcheck disable=SC1090
. "$settings"
for name in $names; do
    [ -n "${!name}" ] || fail "$settings: $name is empty; docs/guides/aws.md describes its value"
done

mkdir -p "$folder"
for file in cluster.yaml data-policy.json head-policy.json trust-policy.json; do
    text=$(<"$here/$file")
    for name in $names; do
        text=${text//"\${$name}"/${!name}}
    done
    left=$(grep -o '\${[A-Z_]*}' <<<"$text" | head -n 1 || true)
    [ -z "$left" ] || fail "$file needs $left, which $settings does not set"
    printf '%s\n' "$text" >"$folder/$file"
done
echo "$folder"
