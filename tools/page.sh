#!/bin/sh
# The page (web/). `page.sh build` makes web/dist anew; `page.sh check` proves the types, runs the tests of its parts, and
# proves that the committed web/dist is what its sources give; `page.sh deps` only installs what they need. `page.sh api URL`
# takes the description of the API from a server and makes the types of the page from it. Needs node and npm: TOOLS=test tools/setup.sh installs them.
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
    api)
        tidy='let all = ""; process.stdin.on("data", (part) => (all += part)).on("end", () => console.log(JSON.stringify(JSON.parse(all), null, 1)))'
        curl -sfS "${2:?the address of a server}/v1/openapi.json" >node_modules/.api.json
        node -e "$tidy" <node_modules/.api.json >api/openapi.json
        npm run --silent api -- -o src/lib/openapi.gen.d.ts
        ;;
    check)
        npm run --silent api -- -o node_modules/.openapi.d.ts >node_modules/.api.log 2>&1 || { cat node_modules/.api.log >&2; exit 1; }
        cmp node_modules/.openapi.d.ts src/lib/openapi.gen.d.ts || { echo "page: the types of the API are not those of web/api/openapi.json; run: tools/page.sh api URL" >&2; exit 1; }
        npm run --silent types
        npm test --silent >node_modules/.tests.log 2>&1 || { cat node_modules/.tests.log >&2; exit 1; }
        fresh=$(mktemp -d)
        trap 'rm -rf "$fresh"' EXIT
        npm run --silent build -- --logLevel warn --outDir "$fresh" --emptyOutDir
        diff -r "$fresh" dist || { echo "page: web/dist is not what web/src gives; run: make page" >&2; exit 1; }
        # What the overview loads first, packed: the promise is 150 kB.
        first=$(cd dist/assets && node -e '
            const fs = require("fs"), wanted = new Set();
            const want = (name) => wanted.has(name) || (wanted.add(name), fs.readFileSync(name, "utf8").replace(/(?:from|import)"\.\/([^"]+)"/g, (_, next) => want(next)));
            fs.readdirSync(".").filter((name) => /^(index|overview|style)-/.test(name)).forEach(want);
            console.log([...wanted].join(" "));')
        packed=$(cd dist/assets && cat ../index.html $first | gzip -9 | wc -c)
        whole=$(cat dist/assets/* | gzip -9 | wc -c)
        echo "page: $packed bytes for the overview, $whole for all pages (gzip)"
        [ "$packed" -le 69632 ] && [ "$whole" -le 153600 ] || { echo "page: too large (68 KiB for the overview, 150 KiB for all)" >&2; exit 1; }
        ;;
    *)
        echo "usage: page.sh build|check|deps|api URL" >&2
        exit 2
        ;;
esac
