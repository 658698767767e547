#!/bin/sh
# Builds counter.wasm from src/.   ./build.sh           writes counter.wasm
#                                  ./build.sh --check   builds elsewhere and compares with the committed file
# RUSTC chooses the compiler (default: rustc), LINKER its linker (default: the compiler's own). The committed file was made
# with Debian 12's rustc 1.63 and wasm-ld 14; other versions give a module that works but has other bytes.
# Exit codes: 0 done or equal, 1 different or failed, 2 cannot be compared or built here.
set -eu
cd "$(dirname "$0")"

made_with=1.63
rustc=${RUSTC:-rustc}
if ! command -v "$rustc" >/dev/null; then
  echo "build.sh: $rustc not found. Install Rust, or on Debian 12: apt-get install rustc libstd-rust-dev-wasm32 lld-14, then RUSTC=/usr/bin/rustc LINKER=wasm-ld-14 ./build.sh" >&2
  exit 2
fi
version=$("$rustc" --version | sed -n 's/^rustc \([0-9]*\.[0-9]*\).*/\1/p')
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

# Memory like the one in C: 128 KiB at first, 64 MiB at most, 16 KiB of stack below the data.
if ! "$rustc" src/lib.rs --crate-name counter --crate-type cdylib --edition 2021 --target wasm32-unknown-unknown \
  ${LINKER:+-C linker="$LINKER"} -C opt-level=s -C lto=fat -C codegen-units=1 -C panic=abort -C strip=symbols \
  -C link-arg=-zstack-size=16384 -C link-arg=--initial-memory=131072 -C link-arg=--max-memory=67108864 \
  --remap-path-prefix "$PWD"= -o "$temporary/counter.wasm"; then
  echo "build.sh: the build failed. If the target is missing: rustup target add wasm32-unknown-unknown (or on Debian 12: apt-get install libstd-rust-dev-wasm32 lld-14, RUSTC=/usr/bin/rustc LINKER=wasm-ld-14)" >&2
  exit 2
fi

case "${1:-}" in
  "")
    cp "$temporary/counter.wasm" counter.wasm
    echo "counter.wasm: $(wc -c <counter.wasm) bytes" ;;
  --check)
    if cmp -s "$temporary/counter.wasm" counter.wasm; then
      echo "counter.wasm is what src/ gives"
    elif [ "$version" != "$made_with" ]; then
      echo "build.sh: this is rustc $version; the committed file can only be compared with rustc $made_with" >&2
      exit 2
    else
      echo "build.sh: counter.wasm is not what src/ gives; run ./build.sh and commit the result" >&2
      exit 1
    fi ;;
  *)
    echo "usage: build.sh [--check]" >&2
    exit 1 ;;
esac
