#!/bin/sh
# Installs what is missing for building, running and testing, by apt alone. Asks nothing, says what and why.
# Already there: silent, no network, a fraction of a second. TOOLS names the groups wanted: build (default), test, lint, peers, stores.
set -eu

# package                      why
build='
g++                            the C++23 compiler
cmake                          configures the build
ninja-build                    runs the build
ccache                         keeps compiled objects between builds
mold                           links fast
pkg-config                     finds libraries
protobuf-compiler              generates the messages of proto/
protobuf-compiler-grpc         generates the services of proto/
libprotobuf-dev                messages
libgrpc++-dev                  gRPC server and clients
libabsl-dev                    needed by gRPC
libsqlite3-dev                 the embedded store
libboost1.81-dev               HTTP (Beast)
libssl-dev                     TLS, hashes, random ids
libhiredis-dev                 reads what Redis answers
zlib1g-dev                     compression
libfmt-dev                     text formatting
libcli11-dev                   command line
libtomlplusplus-dev            configuration files
nlohmann-json3-dev             JSON
'
test='
doctest-dev                    unit tests
libbenchmark-dev               benchmarks
git                            checks of the tree list its files
python3                        end-to-end tests and checks of the tree
sqlite3                        tests look into the store from outside
redis-server                   the journal is tested on a real one
redis-tools                    tests look into it from outside
python3-redis                  a stock client: a producer and a worker of the old Nexus in tests
openssl                        makes the certificates of tests
binutils                       the purity check reads symbols
chromium                       the page is tested in a real browser
chromium-driver                drives that browser
nodejs                         builds the page and tests its parts; a validator and a client of the HTTP API
npm                            installs what these need, by their lock files
curl                           the tour of docs/rest.md is tried with it
clickhouse-server              the history in ClickHouse is tried on a real one
'
lint='
clang-19                       second compiler, fuzzing
clang-tidy-19                  linter
clang-format-19                formatter
libclang-rt-19-dev             sanitizers and libFuzzer for clang
'
stores='
redis-server                   keeps the journal of `make run STORE=redis`
clickhouse-server              keeps its history
python3                        starts and stops both
'
peers='
g++                            builds the loops of bench/peers/
redis-server                   compared with
beanstalkd                     compared with
nodejs                         runs BullMQ, which npm installs
'
wanted=''
for group in ${TOOLS:-build}; do
    case $group in
        build) wanted="$wanted$build" ;;
        test) wanted="$wanted$test" ;;
        lint) wanted="$wanted$lint" ;;
        peers) wanted="$wanted$peers" ;;
        stores) wanted="$wanted$stores" ;;
        *) echo "setup: no tool group '$group' (build, test, lint, peers, stores)" >&2; exit 2 ;;
    esac
done

missing=''
reasons=''
while read -r package why; do
    [ -n "$package" ] || continue
    # A nodejs that is not Debian's brings its own npm, beside which Debian's cannot be installed.
    if [ "$package" = npm ] && command -v npm >/dev/null 2>&1; then continue; fi
    if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
        missing="$missing $package"
        reasons="$reasons
  $(printf '%-26s' "$package") $why"
    fi
done <<EOF
$wanted
EOF
[ -n "$missing" ] || exit 0

echo "setup: installing what is missing:$reasons"
as_root=''
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "setup: not root and no sudo; as root run: apt-get install$missing" >&2; exit 1; }
    as_root='sudo'
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for step in "update -q" "install -y -q --no-install-recommends $missing"; do
    # shellcheck disable=SC2086
    if ! $as_root apt-get -o Acquire::Retries=3 $step >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "setup: 'apt-get $step' failed (above). Is the machine online, and is it Debian 12?" >&2
        exit 1
    fi
done
echo "setup: done"
