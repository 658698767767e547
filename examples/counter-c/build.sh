#!/bin/sh
# Builds counter.wasm from counter.c.   ./build.sh           writes counter.wasm
#                                       ./build.sh --check   builds elsewhere and compares with the committed file
# CLANG chooses the compiler (default: clang). The committed file was made with clang and lld of major version 14
# (Debian 12); other versions give a module that works but has other bytes.
# Exit codes: 0 done or equal, 1 different or failed, 2 cannot be compared or built here.
set -eu
cd "$(dirname "$0")"

made_with=14
clang=${CLANG:-clang}
if ! command -v "$clang" >/dev/null; then
  echo "build.sh: $clang not found. Install clang and lld: apt-get install clang-$made_with lld-$made_with (Debian), then CLANG=clang-$made_with ./build.sh" >&2
  exit 2
fi
version=$("$clang" --version | sed -n 's/.*clang version \([0-9]*\).*/\1/p')
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

if ! "$clang" --target=wasm32 -std=c11 -Wall -Wextra -Werror -O2 -ffreestanding -nostdlib -mcpu=mvp \
  -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=16384 -Wl,--initial-memory=131072 -Wl,--max-memory=67108864 \
  -o "$temporary/counter.wasm" counter.c; then
  echo "build.sh: the build failed. If wasm-ld is missing: apt-get install lld-$made_with" >&2
  exit 2
fi

case "${1:-}" in
  "")
    cp "$temporary/counter.wasm" counter.wasm
    echo "counter.wasm: $(wc -c <counter.wasm) bytes" ;;
  --check)
    if cmp -s "$temporary/counter.wasm" counter.wasm; then
      echo "counter.wasm is what counter.c gives"
    elif [ "$version" != "$made_with" ]; then
      echo "build.sh: this is clang $version; the committed file can only be compared with clang $made_with" >&2
      exit 2
    else
      echo "build.sh: counter.wasm is not what counter.c gives; run ./build.sh and commit the result" >&2
      exit 1
    fi ;;
  *)
    echo "usage: build.sh [--check]" >&2
    exit 1 ;;
esac
