#!/bin/sh
# Builds lua.wasm from Lua's sources (lua-5.3.6), ours (src) and the prelude (prelude).
#     ./build.sh           writes lua.wasm
#     ./build.sh --check   builds elsewhere and compares with the committed file
# CLANG chooses the compiler (default: clang). The committed file was made with the packages clang-14, lld-14,
# wasi-libc and libclang-rt-14-dev-wasm32 of Debian 12; others give a module that works but has other bytes.
# Exit codes: 0 done or equal, 1 different or failed, 2 cannot be compared or built here.
set -eu
cd "$(dirname "$0")"

made_with=14
# SHA-256 of the C library that is linked.
libc=b4d69bce4aba85f9e1014c57a583b1ea642d15fb95eb0a0b1314e0fd5880a767
packages="clang-$made_with lld-$made_with wasi-libc libclang-rt-$made_with-dev-wasm32"
clang=${CLANG:-clang}
if ! command -v "$clang" >/dev/null; then
  echo "build.sh: $clang not found. On Debian 12: apt-get install $packages, then CLANG=clang-$made_with ./build.sh" >&2
  exit 2
fi
version=$("$clang" --version | sed -n 's/.*clang version \([0-9]*\).*/\1/p')
if [ ! -f /usr/include/wasm32-wasi/stdio.h ]; then
  echo "build.sh: wasi-libc not found. On Debian 12: apt-get install $packages" >&2
  exit 2
fi
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

# The prelude as C: one array a file, boot first.
{
  echo "/* Made by build.sh from prelude/. */"
  for file in prelude/*.lua; do
    name=$(basename "$file" .lua | tr - _)
    echo "static const unsigned char prelude_$name[] = {"
    od -An -v -tu1 "$file" | sed 's/  *\([0-9][0-9]*\)/\1,/g'
    echo "};"
  done
  echo "static const struct { const char *name; const unsigned char *text; size_t length; } prelude[] = {"
  for file in prelude/*.lua; do
    name=$(basename "$file" .lua)
    symbol=prelude_$(echo "$name" | tr - _)
    echo "  {\"$name\", $symbol, sizeof $symbol},"
  done
  echo "};"
} >"$temporary/prelude.h"

compile() {
  "$clang" --target=wasm32-wasi -isystem /usr/include/wasm32-wasi -std=gnu11 -O3 -mbulk-memory -msign-ext -ftls-model=local-exec -fno-ident \
    -ffile-prefix-map="$temporary"=build -Isrc/include -Isrc -Ilua-5.3.6 -I"$temporary" "$@"
}

for file in lua-5.3.6/*.c; do
  name=$(basename "$file" .c)
  compile -w "-DWEFT_$name" -include src/config.h -c -o "$temporary/$name.o" "$file"
done
for file in src/*.c; do
  compile -Wall -Wextra -Werror -include src/config.h -c -o "$temporary/weft_$(basename "$file" .c).o" "$file"
done
"$clang" --target=wasm32-wasi -c -o "$temporary/weft_abi.o" src/abi.S

if ! "$clang" --target=wasm32-wasi -nostdlib -o "$temporary/lua.wasm" "$temporary"/*.o \
  -L/usr/lib/wasm32-wasi -lc "$("$clang" --print-resource-dir)/lib/wasi/libclang_rt.builtins-wasm32.a" \
  -Wl,--no-entry -Wl,--export-table -Wl,--strip-all -Wl,--gc-sections -Wl,-z,stack-size=1048576 -Wl,--stack-first \
  -Wl,--initial-memory=4194304 -Wl,--max-memory=4294967296; then
  echo "build.sh: the build failed. On Debian 12 it needs: apt-get install $packages" >&2
  exit 2
fi

case "${1:-}" in
  "")
    cp "$temporary/lua.wasm" lua.wasm
    echo "lua.wasm: $(wc -c <lua.wasm) bytes" ;;
  --check)
    if cmp -s "$temporary/lua.wasm" lua.wasm; then
      echo "lua.wasm is what its sources give"
    elif [ "$version" != "$made_with" ] || ! echo "$libc  /usr/lib/wasm32-wasi/libc.a" | sha256sum --check --status; then
      echo "build.sh: the committed file can only be compared with clang $made_with and the wasi-libc of Debian 12" >&2
      exit 2
    else
      echo "build.sh: lua.wasm is not what its sources give; run ./build.sh and commit the result" >&2
      exit 1
    fi ;;
  *)
    echo "usage: build.sh [--check]" >&2
    exit 1 ;;
esac
