# Shared by .ci/run and .ci/test: stages that are timed and named, and what the tests need on the machine.
# shellcheck shell=bash

# Prints its arguments so that they stand out.
say() { printf '\n== %s\n' "$*"; }

# stage NAME COMMAND...: runs it, prints how long it took, keeps a line for the summary, stops everything on failure.
SUMMARY=()
stage() {
    local name=$1 started=$SECONDS status=0
    shift
    say "$name"
    "$@" || status=$?
    local line
    printf -v line '%-34s %4d s  %s' "$name" $((SECONDS - started)) "$([ $status = 0 ] && echo ok || echo "FAILED ($status)")"
    SUMMARY+=("$line")
    if [ $status != 0 ]; then
        summary
        exit $status
    fi
}

summary() {
    say "summary, $SECONDS s in all"
    printf '  %s\n' "${SUMMARY[@]}"
}

# have COMMAND: is it on the path? have /FILE: is it there?
have() { command -v "$1" >/dev/null 2>&1 || { [[ $1 == /* ]] && [ -e "$1" ]; }; }

# debian COMMAND|/FILE PACKAGE...: makes sure of it, with Debian's packages in CI and with advice elsewhere.
debian() {
    local command=$1
    shift
    have "$command" && return 0
    if [ "${CI:-}" = true ] && have apt-get && [ "$(id -u)" = 0 ]; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
        have "$command" && return 0
    fi
    echo "$command is needed and not here. On Debian and Ubuntu: sudo apt-get install $*" >&2
    return 1
}
