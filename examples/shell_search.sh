#!/bin/sh
# Index a folder with the built-in model and copy the best matches of a query.
#
#     examples/shell_search.sh sample_data 'a storm at sea' picked
#
# The index is written to a temporary folder. Nothing in the target folder is overwritten.
set -eu

folder=$1
query=$2
target=$3

NMM_INDEX=$(mktemp -d)
trap 'rm -rf "$NMM_INDEX"' EXIT
export NMM_INDEX

nmm index --quiet --offline --model mini "$folder"
nmm search "$query" -k 3 --copy-to "$target" --jsonl
