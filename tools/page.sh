#!/bin/sh
# The page (web/). `page.sh build` makes web/dist anew; `page.sh check` proves the types, runs the tests of its parts, and
# proves that the committed web/dist is what its sources give; `page.sh deps` only installs what they need. Needs node and npm: TOOLS=test tools/setup.sh installs them.
set -eu

cd "$(dirname "$0")/../web"
for program in node npm; do
    command -v $program >/dev/null 2>&1 || { echo "page: $program is missing; TOOLS=test tools/setup.sh installs it" >&2; exit 1; }
done
# What npm installed is kept until the lock file changes.
stamp=node_modules/.from-lock
if ! cmp -s package-lock.json "$stamp"; then
    npm ci --no-audit --no-fund --loglevel=error || { echo "page: npm ci failed (above). Is the machine online?" >&2; exit 1; }
    cp package-lock.json "$stamp"
fi

case ${1:-} in
    deps) ;;
    build)
        npm run --silent build -- --logLevel warn
        ;;
    check)
        npm run --silent types
        npm test --silent >node_modules/.tests.log 2>&1 || { cat node_modules/.tests.log >&2; exit 1; }
        fresh=$(mktemp -d)
        trap 'rm -rf "$fresh"' EXIT
        npm run --silent build -- --logLevel warn --outDir "$fresh" --emptyOutDir
        diff -r "$fresh" dist || { echo "page: web/dist is not what web/src gives; run: make page" >&2; exit 1; }
        # What the overview loads first, packed: the promise is 150 kB.
        packed=$(cat dist/index.html dist/assets/index-*.js dist/assets/overview-*.js dist/assets/style-*.css dist/assets/attention-*.js | gzip -9 | wc -c)
        whole=$(cat dist/assets/* | gzip -9 | wc -c)
        echo "page: $packed bytes for the overview, $whole for all pages (gzip)"
        [ "$packed" -le 61440 ] && [ "$whole" -le 153600 ] || { echo "page: too large (60 KiB for the overview, 150 KiB for all)" >&2; exit 1; }
        ;;
    *)
        echo "usage: page.sh build|check|deps" >&2
        exit 2
        ;;
esac
