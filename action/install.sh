#!/usr/bin/env bash
# First step of action.yml: puts gate into an environment of its own below RUNNER_TEMP.
#
# Reads GATE_INPUT_MODE, GATE_INPUT_PYTHON and the runner's variables; writes the output `python`.
# The environment is used again by later steps of the same job and by nobody else: RUNNER_TEMP is emptied
# between jobs, and an environment that outlives a job could be changed by the engine under test.
set -euo pipefail
shopt -s inherit_errexit

readonly modes="run plan report command baseline"
readonly action="${GITHUB_ACTION_PATH:-$(dirname "$(dirname "$(realpath "$0")")")}"

fail() {
  echo "::error title=vllm-eval-gate::$1"
  exit 2
}

# A new enough interpreter, or nothing; what was seen and refused is left in `seen`.
find_python() {
  local candidate version
  seen=""
  for candidate in "$@"; do
    command -v "$candidate" > /dev/null || continue
    version=$("$candidate" -I -c 'import platform; print(platform.python_version())' 2> /dev/null) || continue
    if "$candidate" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      python=$(command -v "$candidate")
      return 0
    fi
    seen+=" $candidate is $version;"
  done
  return 1
}

# Settings that say where packages come from stay; those that change what an installation does must not.
clean_environment() {
  local name
  while read -r name; do
    case "$name" in
      PIP_CONFIG_FILE | PIP_INDEX_URL | PIP_EXTRA_INDEX_URL | PIP_FIND_LINKS | PIP_NO_INDEX) ;;
      PIP_CERT | PIP_CLIENT_CERT | PIP_TRUSTED_HOST | PIP_PROXY | PIP_KEYRING_PROVIDER) ;;
      PIP_CACHE_DIR | PIP_DEFAULT_TIMEOUT | PIP_TIMEOUT | PIP_RETRIES) ;;
      *) unset "$name" ;;
    esac
  done < <(compgen -e | grep -E '^(PIP|UV)_|^PYTHON(HOME|PATH|STARTUP|USERBASE|PLATLIBDIR)$|^VIRTUAL_ENV$')
}

# One hash over everything that the environment is made of.
content_key() {
  local sources
  cd "$action"
  sources=$(find requirements/gate.txt pyproject.toml gate configs examples baselines/.gitattributes -type f -not -name '*.pyc' -print0 \
    | LC_ALL=C sort -z | xargs -0 sha256sum)
  { echo "$sources"; "$python" -I -c 'import sys; print(sys.version, sys.executable)'; } | sha256sum | cut -c 1-16
}

# Chained with &&: a function called before || runs without `set -e`.
install() {
  local pip=("$1/bin/python" -I -m pip --quiet --disable-pip-version-check --no-input install --no-deps)
  rm -rf "$1" \
    && "$python" -I -m venv "$1" \
    && "${pip[@]}" --no-compile --require-hashes --requirement "$action/requirements/gate.txt" \
    && "${pip[@]}" --no-build-isolation "$action" \
    && touch "$1/.complete"
}

[[ " $modes " == *" $GATE_INPUT_MODE "* ]] \
  || fail "mode '$GATE_INPUT_MODE' is not supported; this version knows: $modes"
clean_environment

if [[ -n "$GATE_INPUT_PYTHON" ]]; then
  find_python "$GATE_INPUT_PYTHON" \
    || fail "gate needs Python 3.11 or newer, but the input python names '$GATE_INPUT_PYTHON':${seen:- no such interpreter}"
else
  find_python python3 python3.14 python3.13 python3.12 python3.11 python \
    || fail "gate needs Python 3.11 or newer:${seen:- no python3 on PATH;} install one (actions/setup-python does) or name one with the input python"
fi
"$python" -I -c 'import ensurepip, venv' 2> /dev/null \
  || fail "$python lacks the modules venv and ensurepip: install its venv package (on Debian and Ubuntu: python3-venv) or name another Python with the input python"

venv="$RUNNER_TEMP/vllm-eval-gate/$(content_key)"
if [[ ! -e "$venv/.complete" ]]; then
  install "$venv" || fail "gate could not be installed into $venv; the lines above say why"
fi
echo "python=$venv/bin/python" >> "$GITHUB_OUTPUT"
