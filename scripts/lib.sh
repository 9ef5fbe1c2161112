# Shared by the scripts: finds or installs what they need. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 2
export PATH="$HOME/.cargo/bin:$PATH"
target=${CARGO_TARGET_DIR:-target} # where cargo builds

say() { printf '\n== %s\n' "$*"; }

# need_package COMMAND PACKAGE...: installs Debian packages when COMMAND is missing.
need_package() {
  local command=$1; shift
  command -v "$command" >/dev/null 2>&1 && return
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  command -v apt-get >/dev/null 2>&1 || { echo "$command is missing; install it (Debian: $*)" >&2; exit 2; }
  say "installing $*"
  $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
}

need_rust() {
  command -v cargo >/dev/null 2>&1 || { echo "Rust is missing: see https://rustup.rs" >&2; exit 2; }
  need_package cc build-essential
  need_package make make
}

need_nextest() {
  cargo nextest --version >/dev/null 2>&1 && return
  say "installing cargo-nextest"
  cargo install --locked cargo-nextest
}

need_deny() {
  cargo deny --version >/dev/null 2>&1 && return
  say "installing cargo-deny"
  cargo install --locked --no-default-features cargo-deny
}

# need_python: a throw-away environment with the PyPI packages named, its interpreter in $python.
need_python() {
  need_package python3 python3 python3-venv
  local home="$target/python"
  [ -x "$home/bin/python" ] || { need_package_venv; python3 -m venv "$home"; }
  python="$home/bin/python"
  local package
  for package in "$@"; do
    "$python" -c "import ${package%%=*}" 2>/dev/null || { say "installing $package"; "$python" -m pip install -q "$package"; }
  done
}

need_package_venv() {
  python3 -c 'import venv, ensurepip' 2>/dev/null && return
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
}
